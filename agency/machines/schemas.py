"""What machines send and are sent."""

from __future__ import annotations

from typing import Any

from ninja import Field, Schema
from pydantic import AwareDatetime

from agency.api.schemas import Asked


class AbilitiesIn(Asked):
    """What a machine has. `gpus`: a name each; `memory_bytes`: of the machine, not what is free."""

    version: str = Field("", max_length=40)
    program: str = Field("", max_length=64)
    cores: int = Field(1, ge=1, le=4096)
    memory_bytes: int = Field(0, ge=0)
    disk_free_bytes: int = Field(0, ge=0)
    gpus: list[str] = Field([], max_length=64)
    torch: str = Field("", max_length=60)
    cuda: str = Field("", max_length=60)


class ProgramOut(Schema):
    """The program that belongs to this installation; one that has another digest is another."""

    version: str
    digest: str
    size_bytes: int


class MachineOut(Schema):
    """What the agency says of the machine, and the sizes of the protocol."""

    name: str
    queues: list[str]
    is_trusted: bool
    is_paused: bool
    lease_s: float
    part_bytes: int
    program: ProgramOut


class ClaimIn(Asked):
    """`session`: a random text, new at each start of the program: a claim whose answer was lost is found again."""

    session: str = Field(min_length=16, max_length=64)


class AgainIn(Asked):
    """Of which claim."""

    version: int


class InputOut(Schema):
    """A file of an input. `url` opens it for some minutes and for this claim only; ask in ranges of bytes."""

    name: str
    kind: str
    path: str
    digest: str
    size_bytes: int
    url: str


class ClaimOut(Schema):
    """A job of this machine, as long as it beats within the lease. `version` goes with everything it says of it."""

    job: int
    version: int
    kind: str
    attempt: int
    steps: list[dict[str, Any]]
    outputs: dict[str, str]
    inputs: list[InputOut]


class BeatIn(Asked):
    """How far a job has come."""

    version: int
    progress: float = 0.0
    note: str = Field("", max_length=500)
    numbers: dict[str, Any] = {}


class BeatOut(Schema):
    """`go_on` is false when the job was cancelled or is another's: stop, and throw away what you have of it."""

    go_on: bool


class OutputIn(Asked):
    """A file that was handed in whole."""

    digest: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=1)


class HandedIn(Asked):
    """What every step answered, and the files that were handed in."""

    version: int
    said: dict[str, dict[str, Any]]
    outputs: dict[str, OutputIn]


class FailedIn(Asked):
    """Why the job could not be done. `permanent`: a second try cannot help."""

    version: int
    error: str
    permanent: bool = False
    log_tail: str = ""


class PartsOut(Schema):
    """How many bytes of a file are here: go on there."""

    size_bytes: int


class AgentIn(Asked):
    """What an agent says of itself. `routes`: the digest of those it serves; `records`: of its meter, still held.

    `program`: the digest of the file it runs from; `session`: new at each start; `at`: its clock.
    """

    version: str = Field("", max_length=40)
    program: str = Field("", max_length=64)
    session: str = Field("", max_length=40)
    at: AwareDatetime | None = None
    ollama: str = Field("", max_length=200)
    is_ollama_up: bool = False
    routes: str = Field("", max_length=64)
    serial: int = Field(0, ge=0, lt=2**63)
    records: int = Field(0, ge=0, lt=2**63)
    dropped: int = Field(0, ge=0, lt=2**63)
    port: int = Field(0, ge=0, le=65535)
    address: str = Field("", max_length=100)


class AgentOut(Schema):
    """Whose it is."""

    host: str
    client: str
    program: ProgramOut


class HandIn(Asked):
    """`hand`: a random text for each who makes calls: a claim whose answer was lost is found again."""

    hand: str = Field(min_length=16, max_length=40)


class CallOut(Schema):
    """A request to make of the host. `url` opens the file of an upload, by `digest` and size, while the call lives."""

    call: int
    method: str
    path: str
    body: str
    digest: str
    size_bytes: int
    url: str
    within_s: float


class HeardIn(Asked):
    """How much of an upload has been sent to the host."""

    done_bytes: int = Field(0, ge=0, lt=2**63)


class RecordsIn(Schema):
    """Answers that the agent's gateway gave, one object each, as its meter judged them; each is judged for itself.

    `sent_at`: the sender's clock, by which a wrong one is set right.
    """

    sent_at: AwareDatetime | None = None
    records: list[dict[str, Any]] = Field(max_length=500)


class RecordsOut(Schema):
    """`taken` counts those that were here already too; `refused` are no record of this client's."""

    taken: int
    refused: int


class Ok(Schema):
    ok: bool = True
