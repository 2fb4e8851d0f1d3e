"""Imports the heavy libraries once, in the process that steps are forked from."""

import datasets
import matplotlib.figure
import peft
import torch
import transformers
import trl
from transformers import AutoModelForCausalLM, AutoTokenizer, CohereForCausalLM, Trainer
from trl import DPOTrainer, SFTTrainer

__all__ = [
    "AutoModelForCausalLM",
    "AutoTokenizer",
    "CohereForCausalLM",
    "DPOTrainer",
    "SFTTrainer",
    "Trainer",
    "datasets",
    "matplotlib",
    "peft",
    "torch",
    "transformers",
    "trl",
]
