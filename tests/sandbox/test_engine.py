"""An image on the machine of a worker: there already, loaded from its archive, or missing."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hpc_runner.errors import ImageError
from hpc_runner.sandbox import engine, images
from hpc_runner.sandbox.bootstrap import write_archive
from hpc_runner.sandbox.spec import Image


class Engine:
    """Has the images that were loaded; ``spoils`` them when it does so."""

    def __init__(self, *, code: int = 0, spoils: bool = False) -> None:
        self.loaded: list[Path] = []
        self._code, self._spoils = code, spoils

    def load(self, image: Image) -> list[str]:
        said: list[str] = []
        engine.load(
            image,
            has=lambda _: bool(self.loaded) and not self._spoils,
            run_load=self._run,
            program="engine",
            progress=said.append,
        )
        return said

    def _run(self, archive: Path) -> subprocess.CompletedProcess[str]:
        if self._code == 0:
            self.loaded.append(archive)
        return subprocess.CompletedProcess([], self._code, "", "no space left\n")


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    """An archive in the cache, as another process built it; what a run knows of it has no path."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    archive = images.read_recipe("py311").archive
    archive.parent.mkdir(parents=True)
    rootfs = tmp_path / "rootfs.tar"
    (tmp_path / "file").write_text("as it was built")
    subprocess.run(["tar", "-cf", rootfs, "-C", tmp_path, "file"], check=True)
    digest = write_archive(archive, rootfs, "hpc-runner-py311", {"Env": []}, "amd64")
    return Image("py311", f"hpc-runner-py311:{digest[:12]}", bytes.fromhex(digest))


def test_a_missing_image_is_loaded_once_from_the_cache(image: Image) -> None:
    there = Engine()
    assert there.load(image) == [f"loading image {image.reference} into engine"]
    assert there.load(image) == []
    assert there.loaded == [images.read_recipe("py311").archive]


def test_a_machine_without_the_archive_says_what_to_copy(image: Image) -> None:
    images.read_recipe("py311").archive.unlink()
    with pytest.raises(ImageError, match=r"not loaded on this machine.*copy it there"):
        Engine().load(image)


def test_another_content_than_the_run_s_is_not_loaded(image: Image) -> None:
    there = Engine()
    with pytest.raises(ImageError, match="not loaded on this machine"):
        there.load(replace(image, digest=bytes(32)))
    archive = images.read_recipe("py311").archive
    archive.write_bytes(archive.read_bytes().replace(b"as it was built", b"as was changed!"))
    with pytest.raises(ImageError, match=r"remove it to have it built again"):
        there.load(image)
    assert there.loaded == []


def test_an_engine_that_does_not_load_is_reported(image: Image) -> None:
    with pytest.raises(ImageError, match="can't be loaded: no space left"):
        Engine(code=1).load(image)
    with pytest.raises(ImageError, match=r"another image.*engine image rm hpc-runner-py311:"):
        Engine(spoils=True).load(image)
