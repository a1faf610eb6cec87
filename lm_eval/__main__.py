"""One run from the command line: `python -m lm_eval --model dist_sim --model_args … --tasks hellaswag_d …`."""

import sys

from lm_eval.cli.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
