"""Import the heavy libraries once, in the process that steps are forked from."""
# ruff: noqa: E402, F401

import logging
import threading

# peft imports bitsandbytes, if installed, which warns that there are faster kernels for a CPU.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

import datasets
import matplotlib.figure
import numpy as np
import peft
import torch
import tqdm
import transformers
import trl
from transformers import AutoModelForCausalLM, AutoTokenizer, CohereForCausalLM, Trainer
from trl import DPOTrainer, SFTTrainer

from mixmerge.merging.engine import merge
from mixmerge.merging.kernels.rounding import finite_bfloat16

# Its default lock is a system semaphore, which a step that is stopped would leak.
tqdm.tqdm.set_lock(threading.RLock())
# The first kernel starts Numba, which takes longer than a merge of small models.
finite_bfloat16(np.zeros(1, np.uint16))
