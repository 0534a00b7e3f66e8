"""A training at a service: one job whatever gets lost, nothing left behind there, and every refusal a sentence."""

import dataclasses
import io
import tarfile
import zipfile

import openai
import pytest

from pipelines.bundles import BundleRefused
from pipelines.trainers import GoesOn, Order, Recipe, TrainerError, load
from pipelines.trainers.remote import recall, tag_of
from tests.training.reference import KEY, Reference, serving
from tests.unit.work.tiny_base import make_base, write_dataset

RECIPE = Recipe(epochs=1, learning_rate=5e-3, batch_size=8, seed=5, lora_rank=8, precision="fp32")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base") / "base", hidden=64)


@pytest.fixture
def service(base, tmp_path):
    return Reference(tmp_path / "service", base)


@pytest.fixture
def order(service, base, tmp_path):
    dataset = write_dataset(tmp_path / "data.jsonl", rows=16)
    with serving(service) as url:
        site = {"url": url, "model": "tiny", "order": "job 1", "allow_private": True, "poll_s": 7}
        yield Order(base, dataset, RECIPE, tmp_path / "scratch", tmp_path / "out", site=site, secret={"key": KEY})


def ask(order):
    return load("remote").train(order, lambda share, note, numbers: None)


def to_the_end(order):
    for _ in range(9):
        try:
            return ask(order)
        except GoesOn:
            continue
    raise AssertionError("it never ends")


def moved(order, tmp_path):
    """The same order, on a machine that knows nothing of it."""
    return dataclasses.replace(order, scratch=tmp_path / "other" / "scratch", out=tmp_path / "other" / "out")


def test_it_does_not_wait_and_tells_how_far_the_service_is(service, order):
    service.trains = False
    with pytest.raises(GoesOn) as told:
        ask(order)
    with pytest.raises(GoesOn) as told:
        ask(order)
    assert (told.value.after_s, told.value.note, told.value.numbers["train_loss"]) == (7, "tiny: running", 0.5)
    assert service.count("POST", "/fine_tuning/jobs") == 1


def test_a_loss_that_diverged_is_left_out(service, order):
    service.trains, service.loss = False, float("nan")
    with pytest.raises(GoesOn):
        ask(order)
    with pytest.raises(GoesOn) as told:
        ask(order)
    assert list(told.value.numbers) == ["step"]


def away(order):
    """The same order, to an address where nobody takes the connection."""
    return dataclasses.replace(order, site={**order.site, "url": "http://127.0.0.1:9/v1"})


def test_a_service_that_has_the_job_and_does_not_answer_trains_on(service, order, tmp_path):
    service.trains = False
    with pytest.raises(GoesOn) as told:
        ask(order)
    assert told.value.error == ""
    with pytest.raises(GoesOn, match="tiny: The service does not answer") as told:
        ask(away(order))
    assert "does not answer" in told.value.error
    elsewhere = away(moved(order, tmp_path))
    known = dataclasses.replace(elsewhere, site={**elsewhere.site, "is_there": True})
    with pytest.raises(GoesOn, match="does not answer"):
        ask(known)


def test_a_service_that_has_the_job_and_is_out_of_order_trains_on_and_one_that_refuses_does_not(service, order):
    service.trains = False
    with pytest.raises(GoesOn):
        ask(order)
    service.status = 502
    with pytest.raises(GoesOn, match="out of order"):
        ask(order)
    service.status = 403
    with pytest.raises(TrainerError, match="key") as refused:
        ask(order)
    assert refused.value.permanent


def test_the_recipe_and_nothing_of_the_client_goes_there(service, order):
    service.trains = False
    with pytest.raises(GoesOn):
        ask(order)
    job = service.jobs["ftjob-1"]
    assert (job["model"], job["seed"], job["hyperparameters"]) == ("tiny", 5, {"n_epochs": 1, "batch_size": 8})
    assert (job["metadata"]["lora_rank"], job["metadata"]["retune_order"]) == ("8", tag_of(order))
    assert len(job["metadata"]) <= 16
    assert (service.folder / job["training_file"]).read_bytes() == order.dataset.read_bytes()
    assert service.files[job["training_file"]]["purpose"] == "fine-tune"


@pytest.mark.parametrize("path", ["/files", "/fine_tuning/jobs"])
def test_a_lost_reply_makes_no_second_file_and_no_second_job(service, order, path):
    service.trains = False
    service.lose(path)
    with pytest.raises(TrainerError, match="does not answer") as lost:
        ask(order)
    assert not lost.value.permanent
    with pytest.raises(GoesOn):
        ask(order)
    assert (len(service.files), len(service.jobs)) == (1, 1)


def test_another_machine_goes_on_with_the_same_job(service, order, tmp_path):
    service.trains = False
    for number in range(4):  # Other people's jobs: the list has pages of two.
        service.add_job({"model": "tiny", "training_file": "file-x", "metadata": {"retune_order": f"other {number}"}})
    with pytest.raises(GoesOn):
        ask(order)
    for number in range(4):
        service.add_job({"model": "tiny", "training_file": "file-x", "metadata": {"retune_order": f"later {number}"}})
    with pytest.raises(GoesOn):
        ask(moved(order, tmp_path))
    assert (service.count("POST", "/fine_tuning/jobs"), service.count("POST", "/files")) == (1, 1)


def test_the_rows_are_removed_there_once_the_adapter_is_here(service, order):
    trained = to_the_end(order)
    assert [file["filename"] for file in service.files.values()] == ["adapter.tar.gz"]
    assert (trained.origin["job"], trained.origin["trained_tokens"]) == ("ftjob-1", 4321)
    calls = len(service.calls)
    assert ask(order) == trained and len(service.calls) == calls


def test_a_recall_ends_the_job_and_removes_the_rows_and_may_be_repeated(service, order, tmp_path):
    service.trains = False
    with pytest.raises(GoesOn):
        ask(order)
    elsewhere = moved(order, tmp_path)
    assert recall(elsewhere) == {"job": "ftjob-1", "status": "cancelled", "rows": True}
    assert (service.jobs["ftjob-1"]["status"], service.files) == ("cancelled", {})
    assert recall(elsewhere) == {"job": "ftjob-1", "status": "cancelled", "rows": False}


def test_a_training_that_failed_there_tells_what_the_service_said(service, order):
    service.trains = False
    with pytest.raises(GoesOn):
        ask(order)
    service.jobs["ftjob-1"] |= {"status": "failed", "error": {"code": "x", "message": "row 3 has no answer"}}
    with pytest.raises(TrainerError, match=r"ended the training \(failed\): row 3 has no answer") as told:
        ask(order)
    assert told.value.permanent


def hostile(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("adapter_model.bin", b"pickle")
    (tmp_path / "hostile.zip").write_bytes(packed.getvalue())
    return tmp_path / "hostile.zip"


def test_what_a_service_gives_is_taken_as_any_bundle_from_outside(service, order, tmp_path):
    service.archive = hostile(tmp_path)
    with pytest.raises(BundleRefused, match="may hold a pickle"):
        to_the_end(order)
    assert list(order.out.iterdir()) == []


def test_a_wrong_key_and_a_service_that_is_away_are_told_apart(order):
    with pytest.raises(TrainerError, match="does not accept the key") as wrong:
        ask(dataclasses.replace(order, secret={"key": "sk-wrong"}))
    assert wrong.value.permanent and "sk-wrong" not in str(wrong.value)
    with pytest.raises(TrainerError, match="does not answer") as gone:
        ask(away(order))
    assert not gone.value.permanent


def test_a_private_address_is_called_only_where_the_operator_allows_it(service, order):
    closed = dataclasses.replace(order, site={**order.site, "allow_private": False})
    with pytest.raises(TrainerError, match="may not be called") as refused:
        ask(closed)
    assert refused.value.permanent and service.calls == []


def test_the_openai_package_drives_the_same_service(service, order, tmp_path):
    service.looks = 0
    client = openai.OpenAI(base_url=order.site["url"], api_key=KEY, max_retries=0)
    file = client.files.create(file=order.dataset.open("rb"), purpose="fine-tune")
    recipe = {name: str(value) for name, value in RECIPE.as_dict().items() if isinstance(value, int | float | str)}
    job = client.fine_tuning.jobs.create(model="tiny", training_file=file.id, metadata=recipe)
    done = client.fine_tuning.jobs.retrieve(job.id)
    assert (done.status, done.trained_tokens) == ("succeeded", 4321)
    archive = client.files.content(done.result_files[0]).read()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert "adapter/adapter_model.safetensors" in tar.getnames()
    assert [one.id for one in client.fine_tuning.jobs.list()] == [job.id]
