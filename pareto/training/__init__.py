"""One LoRA adapter per weight setting, all with one frozen A, trained through TRL and PEFT."""
