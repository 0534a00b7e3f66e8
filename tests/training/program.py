"""A training program as an operator registers one: the order's path is its last argument, JSON lines come out."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipelines.trainers import Order, Recipe, load


def say(**line):
    print(json.dumps(line), flush=True)


def main():
    told = json.loads(Path(sys.argv[-1]).read_text())
    print("some library's banner")
    order = Order(
        base=Path(told["base"]),
        dataset=Path(told["dataset"]),
        recipe=Recipe.parse(told["recipe"]),
        scratch=Path(told["checkpoints"]),
        out=Path(told["out"]),
    )
    trained = load("peft").train(order, lambda share, note, numbers: say(progress=share, note=note, numbers=numbers))
    say(result={"steps": trained.steps, "loss": trained.last_loss, "program": "own 1.0"})


main()
