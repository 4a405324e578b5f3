import pytest


@pytest.fixture(scope="session")
def classifier(tmp_path_factory):
    """Write a tiny random sequence classifier with the given labels; returns its folder."""

    def write(labels, *, problem_type=None, head=True):
        import torch
        from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

        folder = tmp_path_factory.mktemp("classifier")
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "is", "the", "capital", "of", "france"]
        words += ["paris", "london", "hello", "a", "b", "c"]
        (folder / "vocab.txt").write_text("\n".join(words))
        BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(words),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=32,
            initializer_range=1.0,
            id2label=dict(enumerate(labels)),
            label2id={name: i for i, name in enumerate(labels)},
            problem_type=problem_type,
        )
        (BertForSequenceClassification if head else BertModel)(config).save_pretrained(folder)
        return folder

    return write
