"""Everything that only a GPU shows, as one command that ends in under 8 minutes.

    python -m benchmarks.gpu --out gpu.json                  # on the card
    python -m benchmarks.gpu --device cpu --tiny             # a rehearsal, in under a minute

Needs no Ray and no network, and beside torch and transformers only what usually stands beside them. A section that
fails says so in its row, with the traceback in the file, and the next goes on. One that would begin after the limit is
left out. The status is 1 where something failed or a check didn't hold.
"""

import faulthandler
import gc
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.command_line import make_parser, positive
from benchmarks.gpu_report import Report, Setup
from benchmarks.gpu_stand_in import stand_in_for_pydantic
from lm_eval.common.garbage import left_alone

Section = Callable[[Setup, Report], None]
SECTIONS = {
    "card": "benchmarks.gpu_card",
    "package": "benchmarks.gpu_card",
    "parity": "benchmarks.gpu_parity",
    "auto": "benchmarks.gpu_parity",
    "speed": "benchmarks.gpu_speed",
    "oom": "benchmarks.gpu_memory",
    "budget": "benchmarks.gpu_memory",
    "memory": "benchmarks.gpu_memory",
    "profile": "benchmarks.gpu_profile",
}
"""Each section's module, whose function has the section's name. Imported when its turn comes: then a package that is
missing costs that section alone."""
GRACE_S = 25
"""After the limit the process is ended, whatever it waits for; what is known has been written."""


def run_section(name: str, setup: Setup, report: Report) -> None:
    """Run a section, and free what it leaves on the card."""
    if report.left_s <= 0:
        report.content["sections"][name] = [{"row": name, "left out": "no time"}]
        print(f"\n{name}\n  left out: no time", flush=True)
        return
    with report.section(name):
        with left_alone():  # and nothing frozen: models that are there would never be found once they are garbage
            section: Section = getattr(importlib.import_module(SECTIONS[name]), name)
        section(setup, report)
    gc.collect()
    if "torch" in sys.modules and setup.on_card:
        with report.part(f"{name}: freeing memory"):
            sys.modules["torch"].cuda.empty_cache()


def choose_device(device: str | None) -> str:
    """Return the device asked for, else a GPU, which there must be; make it the one that torch's clocks run on."""
    if device is None or device.startswith("cuda"):
        torch = importlib.import_module("torch")
        if not torch.cuda.is_available():
            raise SystemExit("no GPU is here; --device cpu --tiny rehearses without one")
        if device is not None and torch.device(device).index is not None:
            torch.cuda.set_device(device)
    return device or "cuda"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sections and return the exit status."""
    parser = make_parser(__doc__)
    parser.add_argument("--device", help="a torch device; left out, a GPU")
    parser.add_argument("--tiny", action="store_true", help="models of a few thousand weights: a rehearsal")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas (%(default)s)")
    parser.add_argument("--limit_s", type=positive, default=440, help="no section begins later (%(default)s)")
    args = parser.parse_args(arguments)
    names = args.only.split(",")
    if unknown := [name for name in names if name not in SECTIONS]:
        parser.error(f"--only: no section is called {', '.join(unknown)}; they are {', '.join(SECTIONS)}")
    os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1")  # both are read when packages are imported
    stands_in = stand_in_for_pydantic()
    began, report = time.monotonic(), Report(args.out, args.limit_s)
    faulthandler.dump_traceback_later(args.limit_s + GRACE_S, exit=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            setup = Setup(device=choose_device(args.device), tiny=args.tiny, folder=Path(folder))
            report.content.update(device=setup.device, tiny=setup.tiny, pydantic="stand-in" if stands_in else "there")
            for name in names:
                run_section(name, setup, report)
    finally:
        faulthandler.cancel_dump_traceback_later()
    failures = report.failures
    report.content.update(seconds=time.monotonic() - began, failures=failures)
    report.write()
    print(f"\n{time.monotonic() - began:.0f} s; {len(failures)} failed: {', '.join(failures) or 'none'}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
