from __future__ import annotations

import io
import re
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs/CLUSTER.md").read_text()
COMPOSE = YAML(typ="safe").load(DEPLOY / "docker-compose.yaml")
SERVICES = COMPOSE["services"]
MANIFEST = list(YAML(typ="safe").load_all(DEPLOY / "kuberay.yaml"))


def only(kind: str):
    (found,) = (part for part in MANIFEST if part["kind"] == kind)
    return found


def pods():
    cluster = only("RayCluster")["spec"]
    return [group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]


def flags(params) -> set[str]:
    """KubeRay's rayStartParams as the options that it gives to `ray start`."""
    return {f"--{name}" if value == "true" else f"--{name}={value}" for name, value in params.items()}


def test_the_compose_file_is_valid_by_the_specification():
    spec = pytest.importorskip("compose_spec")
    expanded = io.StringIO()  # it does not read YAML's merge keys itself
    YAML().dump({name: part for name, part in COMPOSE.items() if name != "x-node"}, expanded)
    assert set(spec.PyCompose.from_yaml(expanded.getvalue()).service_names()) == set(SERVICES)


def test_every_service_says_when_it_is_well_and_keeps_its_data_in_a_named_volume():
    assert set(SERVICES) == {"postgres", "head", "worker"}
    used = set()
    for service in SERVICES.values():
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        used |= {volume.partition(":")[0] for volume in service["volumes"]}
        for needed, when in service.get("depends_on", {}).items():
            assert when == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[needed]
    assert used == set(COMPOSE["volumes"])


def test_head_and_workers_are_one_image_and_see_one_share():
    nodes = [SERVICES["head"], SERVICES["worker"]]
    assert len({node["image"] for node in nodes}) == 1
    assert all("share:/share" in node["volumes"] for node in nodes)
    assert (DEPLOY / nodes[0]["build"]["context"] / nodes[0]["build"]["dockerfile"]).is_file()


def test_no_file_has_a_secret():
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or re.fullmatch(r"\$\{POSTGRES_PASSWORD:\?[^}]+\}", value)
    containers = [c for pod in (*pods(), only("StatefulSet")["spec"]["template"]["spec"]) for c in pod["containers"]]
    for variable in (v for c in containers for v in c.get("env", ())):
        assert "PASSWORD" not in variable["name"] or "secretKeyRef" in variable["valueFrom"]
    for path in (*DEPLOY.iterdir(), ROOT / "docs/CLUSTER.md"):
        assert not re.search(r"postgresql://[^/\s]*:[^/\s]*@", path.read_text()), path


def test_the_manifest_has_what_kuberay_and_kubernetes_require():
    for part in MANIFEST:
        assert part.keys() >= {"apiVersion", "kind", "metadata", "spec"}
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", part["metadata"]["name"])
    cluster = only("RayCluster")
    assert cluster["apiVersion"] == "ray.io/v1"
    assert cluster["spec"]["headGroupSpec"].keys() >= {"rayStartParams", "template"}
    for group in cluster["spec"]["workerGroupSpecs"]:
        assert group.keys() >= {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert int(limits["nvidia.com/gpu"]) >= 1
    database = only("StatefulSet")["spec"]
    assert database["template"]["metadata"]["labels"] == database["selector"]["matchLabels"]
    assert only("Service")["spec"]["selector"] == database["selector"]["matchLabels"]


def test_every_pod_mounts_what_it_declares_and_the_claims_are_there():
    claims = {part["metadata"]["name"]: part["spec"] for part in MANIFEST if part["kind"] == "PersistentVolumeClaim"}
    for pod in pods():
        (container,) = pod["containers"]
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}
        assert mounts["share"] == "/share"
        for volume in pod["volumes"]:
            assert "emptyDir" in volume or volume["persistentVolumeClaim"]["claimName"] in claims
    assert claims["pareto-share"]["accessModes"] == ["ReadWriteMany"]
    assert len({pod["containers"][0]["image"] for pod in pods()}) == 1


def test_the_page_gives_the_very_commands():
    head, worker = (SERVICES[name]["command"] for name in ("head", "worker"))
    assert re.search(rf"^{re.escape(head)} +#", PAGE, re.M)
    assert re.search(rf"^{re.escape(worker.replace('head:', 'HEAD:'))} +#", PAGE, re.M)
    cluster = only("RayCluster")["spec"]
    assert flags(cluster["headGroupSpec"]["rayStartParams"]) == set(head.split()[2:]) - {"--head"}
    # The operator itself adds the address.
    assert flags(cluster["workerGroupSpecs"][0]["rayStartParams"]) == {"--block"}
    for name in ("docker-compose.yaml", "kuberay.yaml"):
        top = [line[2:].strip() for line in (DEPLOY / name).read_text().splitlines() if line.startswith("#   ")]
        assert top
        assert all(line in PAGE for line in top)


def test_versions_are_those_that_were_tested_together():
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    assert only("RayCluster")["spec"]["rayVersion"] == pins["ray"]
    python = re.search(r"^FROM python:([\d.]+)-slim$", (DEPLOY / "Dockerfile").read_text(), re.M)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={python[1]}"
    assert "-c constraints.txt" in (DEPLOY / "Dockerfile").read_text()
    assert SERVICES["postgres"]["image"] == only("StatefulSet")["spec"]["template"]["spec"]["containers"][0]["image"]
