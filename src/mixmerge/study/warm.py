"""Imports the heavy libraries once, in the process that steps are forked from."""
# ruff: noqa: F401

import threading

import datasets
import matplotlib.figure
import peft
import torch
import tqdm
import transformers
import trl
from transformers import AutoModelForCausalLM, AutoTokenizer, CohereForCausalLM, Trainer
from trl import DPOTrainer, SFTTrainer

# Its default lock is a semaphore of the system, which a step that is stopped would leave behind.
tqdm.tqdm.set_lock(threading.RLock())
