"""Which images there are, and what `hpc-runner image` says of them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from clusters import Cluster
from sarus_host import install, scratch

from hpc_runner.errors import ConfigError, ImageError, RuntimeFailure
from hpc_runner.sandbox import bootstrap, images, inventory
from hpc_runner.sandbox.apptainer import image_file
from hpc_runner.sandbox.docker import DockerRuntime
from hpc_runner.sandbox.local import LocalRuntime
from hpc_runner.sandbox.spec import AGENT, AgentSpec, Availability, Image

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def _ignore(line: str) -> None:
    """A progress line that nobody reads."""


class Shelf:
    """A runtime that remembers what was loaded; the real agent, on the host, runs in its images."""

    name = "shelf"
    needs_image = True

    def __init__(self, *, works: bool = True, asks: bool = True) -> None:
        self._works = works
        self._asks = asks
        self.loaded: set[Image] = set()

    def available(self) -> Availability:
        return Availability(self._works, "shelf 1 answers", "mend it")

    def ensure_image(self, name: str, progress: Callable[[str], None]) -> Image | None:
        image = images.find(name)
        assert image is not None
        images.verify(image)
        self.loaded.add(image)
        return image

    def has_image(self, image: Image) -> bool:
        if not self._asks:
            raise RuntimeFailure("the shelf is locked")
        return image in self.loaded

    def command(self, spec: AgentSpec) -> list[str]:
        return [sys.executable, "-I", str(AGENT), *spec.agent_arguments()]

    def environment(self) -> dict[str, str]:
        return {"PATH": os.defpath}

    def kill(self, name: str) -> None:
        """Nothing outlives the agent."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, where it will be."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hpc_runner" / "images"


def _archive(path: Path, content: bytes = b"hello") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rootfs = path.with_suffix(".rootfs")
    with tarfile.open(rootfs, "w:") as tar:
        item = tarfile.TarInfo("./etc/motd")
        item.size = len(content)
        tar.addfile(item, io.BytesIO(content))
    bootstrap.write_archive(path, rootfs, "hpc-runner-py311", {"Env": []}, "amd64")
    rootfs.unlink()
    return path


@pytest.fixture
def built(cache: Path) -> Path:
    return _archive(images.read_recipe("py311").archive)


def test_what_is_built_and_loaded_is_told(built: Path) -> None:
    shelf = Shelf()
    here, missing = inventory.stored({"shelf": shelf}, ["py311", "py313"])
    assert (here.name, here.suite, here.built, here.trouble) == ("py311", "bookworm", True, None)
    assert here.size_bytes == built.stat().st_size
    assert here.reference == f"hpc-runner-py311:{(here.digest or '')[:12]}"
    assert here.loaded == {"shelf": False}
    assert (missing.name, missing.built, missing.digest, missing.loaded) == (
        "py313",
        False,
        None,
        {},
    )
    shelf.ensure_image("py311", _ignore)
    (again,) = inventory.stored({"shelf": shelf}, ["py311"])
    assert again.loaded == {"shelf": True}


def test_what_is_wrong_with_one_hides_no_other(built: Path) -> None:
    (asked,) = inventory.stored({"shelf": Shelf(asks=False)}, ["py311"])
    assert asked.trouble == "the shelf is locked" and asked.digest
    built.write_bytes(b"text")
    damaged, other = inventory.stored({"shelf": Shelf()}, ["py311", "py313"])
    assert damaged.built and damaged.digest is None
    assert "not a docker-archive" in (damaged.trouble or "")
    assert other.name == "py313"


def test_a_sound_image_is_verified_in_each_runtime(built: Path) -> None:
    steps: list[str] = []
    (found,) = inventory.verify("py311", {"shelf": Shelf()}, steps.append)
    assert found.ok and found.error is None and found.runtime == "shelf"
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.isolation in ("limits", "filtered", "full")
    assert steps[0] == f"reading {built}" and "starting an agent" in steps[1]
    (alone,) = inventory.verify("py311", {}, _ignore)
    assert alone.ok and alone.runtime is None and alone.digest == found.digest


def test_an_image_that_is_wrong_is_told_and_not_raised(built: Path, cache: Path) -> None:
    (missing,) = inventory.verify("py313", {"shelf": Shelf()}, _ignore)
    assert not missing.ok and "hpc-runner image build py313" in (missing.error or "")
    built.write_bytes(built.read_bytes().replace(b"hello", b"jello"))
    (changed,) = inventory.verify("py311", {"shelf": Shelf()}, _ignore)
    assert not changed.ok and "layer" in (changed.error or "")

    class Dead(Shelf):
        def command(self, spec: AgentSpec) -> list[str]:
            return [sys.executable, "-c", "raise SystemExit('no such file')"]

    _archive(built)
    sound, dead = inventory.verify("py311", {"shelf": Shelf(), "dead": Dead()}, _ignore)
    assert sound.ok
    assert not dead.ok and "the agent doesn't start" in (dead.error or "")
    with pytest.raises(ConfigError, match="has no recipe"):
        inventory.verify("nope", {}, _ignore)


def test_runtimes_with_images_are_those_that_work() -> None:
    table = {"local": LocalRuntime, "shelf": Shelf, "broken": lambda: Shelf(works=False)}
    assert list(inventory.with_images(None, table)) == ["shelf"]
    assert list(inventory.with_images("shelf", table)) == ["shelf"]
    for name in ("local", "nothing"):
        with pytest.raises(ConfigError, match=f"--runtime {name}: images are for shelf, broken"):
            inventory.with_images(name, table)
    with pytest.raises(ConfigError, match=r"'broken' doesn't work here: .*; mend it"):
        inventory.with_images("broken", table)


def test_only_archives_that_no_recipe_names_are_pruned(built: Path, cache: Path) -> None:
    old = [cache / "py311-0000000000000000.tar", cache / "python-ddb5f6b4d9e83350.tar"]
    for path in (*old, cache / "py311.lock", cache / "notes.txt"):
        path.touch()
    assert inventory.remains() == old
    assert inventory.prune() == old
    assert {path.name for path in cache.iterdir()} == {"notes.txt", "py311.lock", built.name}
    assert inventory.prune() == []


def test_image_files_of_other_contents_are_pruned(built: Path, cache: Path) -> None:
    image = images.find("py311")
    assert image is not None
    names = [image_file(image), "py311-0000000000000000.sif", "py313-1111111111111111.sif"]
    for name in names:
        (cache / name).touch()
        (cache / (name + ".sha256")).touch()
    gone = [cache / names[1], cache / (names[1] + ".sha256")]
    assert inventory.prune() == gone, "py313 isn't built: which of its files is right isn't known"


# The commands


@pytest.fixture
def cli(command: Callable[..., Run], cache: Path, tmp_path: Path) -> Run:
    """Without any engine, and with a cache of its own."""
    return command("image", PATH=str(tmp_path))


def test_the_commands_on_a_machine_without_engine(cli: Run, built: Path, cache: Path) -> None:
    (cache / "gone-0123456789abcdef.tar").touch()
    listed = cli("list")
    assert listed.returncode == 0, listed.stderr
    lines = {line.partition(" ")[0]: line for line in listed.stdout.splitlines()}
    assert lines["py311"].startswith("py311      hpc-runner-py311:")
    assert "no runtime here takes" in lines["py311"]
    assert lines["py313"].startswith("py313      not built: ")
    assert "1 archives of 0 MB belong to no recipe" in listed.stdout
    found = json.loads(cli("list", "--json").stdout)
    assert [item["name"] for item in found["images"]] == images.recipes()
    assert found["old_archives"] == [str(cache / "gone-0123456789abcdef.tar")]

    verified = cli("verify", "py311", "--json")
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)[0]["ok"] is True
    everything = cli("verify")
    assert everything.returncode == 1
    assert "py313      archive   WRONG: it is not built" in everything.stdout

    built_already = cli("build", "py311")
    assert str(built) in built_already.stdout
    assert cli("prune", "--dry-run").stdout.splitlines()[-1] == "1 archives would be removed"
    assert cli("prune").stdout.splitlines()[-1] == "1 archives removed"
    assert built.exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["build", "py999"], 2, "image 'py999' has no recipe; there are cpp, "),
        (["verify", "py311", "../x"], 2, "has no recipe"),
        (["load", "py311"], 2, "no runtime that needs images works here"),
        (["load", "--runtime", "local"], 2, "--runtime local: images are for"),
        (["load", "--runtime", "docker"], 2, "runtime 'docker' doesn't work here: "),
    ],
)
def test_a_mistake_is_told_before_anything_is_done(
    cli: Run, cache: Path, words: list[str], code: int, said: str
) -> None:
    done = cli(*words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert not cache.exists()


def test_images_are_loaded_into_a_real_engine(
    docker_engine: DockerRuntime, docker_image: Image
) -> None:
    """The archive is what the engine takes, and what it then has is the pinned image."""
    (found,) = inventory.verify("py311", {"docker": docker_engine}, _ignore)
    assert found.ok and found.digest == docker_image.digest.hex()
    assert (found.python or "").startswith("3.11.")
    with pytest.raises(ImageError):
        images.verify(Image("py311", docker_image.reference, bytes(32), docker_image.archive))


def test_an_image_is_loaded_on_a_node(cluster: Cluster, checkout: Path, tmp_path: Path) -> None:
    """By Sarus, which keeps what it has loaded where every node sees it."""
    image = images.ensure("py311", print)
    assert image.archive is not None

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "hpc_runner", "image", *words],
            env={**cluster.environment, "PYTHONPATH": str(checkout), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    with scratch() as top:
        program = install(top)
        profile = tmp_path / "site.toml"
        profile.write_text(
            f'memory = "1G"\nruntime = "sarus"\nimage_repository = "{image.archive.parent}"\n'
            f'[sarus]\nprogram = "{program}"\n'
        )
        done = run("load", "py311", "--on-node", "--profile", str(profile))
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"sarus has {image.reference}, sha256:{image.digest.hex()}\n"
        listed = run("list", "py311", "--json", HPC_RUNNER_SARUS=program)
        (row,) = json.loads(listed.stdout)["images"]
        assert row["loaded"]["sarus"] is True
