"""The Kubernetes objects of predecessor 004: names and ports that its users know, and what the code really serves."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.compat import PREDECESSORS
from api.compat.mount import Mount
from common.settings import Settings
from tests.conftest import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yml").read_text())
DEPLOYMENT: dict[str, Any] = yaml.safe_load((FOLDER / "fr_deployment.yml").read_text())
SERVICE: dict[str, Any] = yaml.safe_load((FOLDER / "fr_service.yml").read_text())
CLAIMS: list[dict[str, Any]] = list(yaml.safe_load_all((FOLDER / "fr_storage.yml").read_text()))
POD: dict[str, Any] = DEPLOYMENT["spec"]["template"]["spec"]
(FR,) = POD["containers"]
SIDECARS = {container["name"]: container for container in POD["initContainers"]}
ENVIRONMENT = {entry["name"]: entry["value"] for entry in FR["env"]}
SCRIPTS = [FOLDER / "create_service.sh", FOLDER / "create_gcloud_cluster.sh"]
ORIGINAL_PORT, NODE_PORT = 5000, 32000


def test_names_and_labels_are_those_that_scripts_know() -> None:
    assert (DEPLOYMENT["apiVersion"], DEPLOYMENT["kind"]) == ("apps/v1", "Deployment")
    assert DEPLOYMENT["metadata"] == {"name": "fr", "labels": {"run": "fr", "app": "fr-app"}}
    assert DEPLOYMENT["spec"]["replicas"] == 1
    assert FR["name"] == "fr"
    assert (SERVICE["apiVersion"], SERVICE["kind"], SERVICE["metadata"]["name"]) == ("v1", "Service", "fr-svc")
    assert SERVICE["spec"]["type"] == "NodePort"


def test_selectors_find_the_pod() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == SERVICE["spec"]["selector"] == labels == {"run": "fr"}


def test_the_ports_are_the_original_ones_and_served() -> None:
    assert PREDECESSORS["004"].ports == (ORIGINAL_PORT,)
    (port,) = SERVICE["spec"]["ports"]
    assert (port["port"], port["targetPort"], port["nodePort"]) == (ORIGINAL_PORT, ORIGINAL_PORT, NODE_PORT)
    assert FR["ports"] == [{"containerPort": ORIGINAL_PORT}]
    assert ENVIRONMENT["FACEPIPE_COMPAT"] == "004"


def test_the_probe_asks_what_the_service_answers(mount: Mount) -> None:
    probe = FR["readinessProbe"]["httpGet"]
    assert probe == {"path": "/test", "port": ORIGINAL_PORT}
    known = [app.url_map.bind("").test(probe["path"], "GET") for app in mount.apps[ORIGINAL_PORT]]
    assert any(known)


def test_the_images_are_those_of_compose() -> None:
    assert FR["image"] == re.sub(r"\$\{\w+:-(\w+)\}", r"\1", COMPOSE["services"]["api"]["image"])
    assert {name: one["image"] for name, one in SIDECARS.items()} == {
        name: COMPOSE["services"][name]["image"] for name in ("postgres", "redis")
    }


def test_every_variable_is_a_setting_and_they_hold_together(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        assert isinstance(value, str)
        monkeypatch.setenv(name, value)
    settings = Settings()
    fields = {name.upper() for name in Settings.model_fields}
    assert {name.removeprefix("FACEPIPE_").split("__")[0] for name in ENVIRONMENT} <= fields
    assert settings.compat == ("004",)
    assert settings.compat_open
    assert settings.database_url == "postgresql://facepipe@127.0.0.1:5432/facepipe"
    mounts = {mount["mountPath"]: mount["name"] for mount in FR["volumeMounts"]}
    assert str(settings.home) in mounts
    assert str(settings.compat_004_db) in mounts
    frames = {volume["name"]: volume for volume in POD["volumes"]}[mounts[str(settings.frames.directory)]]
    assert frames["emptyDir"]["medium"] == "Memory"
    limit = int(frames["emptyDir"]["sizeLimit"].removesuffix("Mi")) << 20
    assert settings.frames.capacity_bytes < limit


def test_the_image_has_the_program_and_the_user() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    assert FR["command"] == ["python", "-m", "deploy.up"]
    assert "COPY deploy /app/deploy" in dockerfile
    assert f"USER {FR['securityContext']['runAsUser']}:{FR['securityContext']['runAsGroup']}" in dockerfile
    assert POD["securityContext"]["fsGroup"] == FR["securityContext"]["runAsGroup"]


def test_every_volume_is_there_and_what_must_last_is_claimed() -> None:
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    mounted = [mount for one in (FR, *SIDECARS.values()) for mount in one["volumeMounts"]]
    assert {mount["name"] for mount in mounted} == set(volumes)
    claimed = {one["persistentVolumeClaim"]["claimName"] for one in volumes.values() if "persistentVolumeClaim" in one}
    assert claimed == {claim["metadata"]["name"] for claim in CLAIMS} == {"fr-postgres", "fr-data", "fr-db"}
    paths = {mount["mountPath"]: mount["name"] for mount in mounted}
    assert {paths[path] for path in ("/var/lib/postgresql", "/db")} == {"postgres", "db"}
    (where,) = (
        volume.partition(":")[2]
        for volume in COMPOSE["services"]["postgres"]["volumes"]
        if volume.startswith("postgres:")
    )
    assert paths[where] == "postgres"


def test_nobody_outside_the_pod_reaches_database_or_broker() -> None:
    assert "listen_addresses=127.0.0.1" in SIDECARS["postgres"]["args"]
    redis = SIDECARS["redis"]["args"]
    assert redis[redis.index("--bind") + 1] == "127.0.0.1"
    assert redis[redis.index("--maxmemory-policy") + 1] == "noeviction"
    for sidecar in SIDECARS.values():
        assert "ports" not in sidecar
        assert sidecar["restartPolicy"] == "Always"  # a sidecar: started before `fr`, and not waited for
        assert "startupProbe" in sidecar


def test_the_pod_gives_no_rights_away() -> None:
    assert POD["automountServiceAccountToken"] is False
    for container in (FR, *SIDECARS.values()):
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert FR["securityContext"]["readOnlyRootFilesystem"] is True
    assert FR["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_scripts_are_programs_that_a_shell_reads(script: Path) -> None:
    assert os.access(script, os.X_OK)
    done = subprocess.run(["sh", "-n", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def commands_of(script: Path, tmp_path: Path, *arguments: str, **env: str) -> tuple[int, list[str]]:
    """Exit status of a script and what it would have run: its tools are stood in for by ones that write that down."""
    for tool in ("kubectl", "gcloud"):
        path = tmp_path / tool
        path.write_text(f'#!/bin/sh\necho "{tool} $*" >> "{tmp_path}/ran"\n')
        path.chmod(0o755)
    done = subprocess.run(
        [str(script), *arguments],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **env},
        capture_output=True,
        text=True,
        check=False,
    )
    ran = tmp_path / "ran"
    return done.returncode, sorted(ran.read_text().splitlines()) if ran.exists() else []


def test_the_load_balancer_has_the_name_and_port_of_the_service(tmp_path: Path) -> None:
    status, (exposed, shown) = commands_of(SCRIPTS[0], tmp_path, "203.0.113.0/24")
    assert status == 0
    assert "expose deployment fr --name=fr-svc --type=LoadBalancer --port=5000 --target-port=5000" in exposed
    assert '"loadBalancerSourceRanges": ["203.0.113.0/24"]' in exposed
    assert shown == "kubectl get service fr-svc"


@pytest.mark.parametrize("network", ['x"]}, "a": {"b', "$(touch pwned)", "10.0.0.0/8;ls"])
def test_what_is_no_network_is_refused(network: str, tmp_path: Path) -> None:
    assert commands_of(SCRIPTS[0], tmp_path, network) == (2, [])


def test_the_cluster_has_the_old_name_and_gets_the_objects(tmp_path: Path) -> None:
    status, ran = commands_of(SCRIPTS[1], tmp_path, IMAGE="registry.example/facepipe:1")
    assert status == 0
    assert "gcloud container clusters create cluster-1 --num-nodes=1 --machine-type=n1-standard-1" in ran
    assert "gcloud container clusters get-credentials cluster-1" in ran
    assert "kubectl apply -f fr_storage.yml" in ran
    assert any("-f fr_deployment.yml fr=registry.example/facepipe:1" in line for line in ran)
    assert commands_of(SCRIPTS[1], tmp_path)[0] != 0  # which image?


@pytest.mark.parametrize(
    ("file", "change"),
    [("fr_deployment.yml", ["image", "fr=another"]), ("fr_service.yml", ["selector", "run=another"])],
)
def test_kubectl_knows_every_field(file: str, change: list[str]) -> None:
    """Without a cluster: these two commands decode with kubectl's own types, and a field that they lack is lost."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    what, value = change
    done = subprocess.run(
        ["kubectl", "set", what, "--local", "-f", str(FOLDER / file), value, "-o", "yaml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    written = (FOLDER / file).read_text().replace(f"image: {FR['image']}", "image: another")
    if what == "selector":
        written = written.replace("selector:\n    run: fr", "selector:\n    run: another")
    assert missing(yaml.safe_load(written), yaml.safe_load(done.stdout)) == []


def missing(written: Any, read: Any, path: str = "") -> list[str]:
    """Paths of what was written and is not, or is otherwise, in what was read."""
    if isinstance(written, dict):
        absent = [f"{path}.{key}" for key in written if key not in read]
        return absent + [
            one for key in written if key in read for one in missing(written[key], read[key], f"{path}.{key}")
        ]
    if isinstance(written, list):
        if len(written) != len(read):
            return [path]
        return [
            one for i, (a, b) in enumerate(zip(written, read, strict=True)) for one in missing(a, b, f"{path}[{i}]")
        ]
    return [] if written == read or (written == {} and not read) else [f"{path}: {written!r} became {read!r}"]
