"""Optimizers: each one update rule, used by compiled training steps and by eager code alike."""

from symgraph.optim.adam import Adam, AdamW
from symgraph.optim.optimizer import Optimizer
from symgraph.optim.rmsprop import RMSProp
from symgraph.optim.sgd import SGD

RMSprop = RMSProp  # PyTorch's spelling

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSProp", "RMSprop"]
