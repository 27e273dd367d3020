# What Rondel uses of trl; the set `train` is not installed where types are checked.
from collections.abc import Sequence

from datasets import Dataset
from peft import LoraConfig
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback, TrainingArguments

class SFTConfig(TrainingArguments):
    def __init__(self, *, output_dir: str, **values: object) -> None: ...

class TrainOutput:
    training_loss: float
    global_step: int

class SFTTrainer:
    model: PreTrainedModel
    def __init__(
        self,
        *,
        model: PreTrainedModel,
        args: SFTConfig,
        train_dataset: Dataset,
        processing_class: PreTrainedTokenizerBase,
        peft_config: LoraConfig,
        callbacks: Sequence[TrainerCallback] = ...,
    ) -> None: ...
    def remove_callback(self, callback: type[TrainerCallback]) -> None: ...
    def train(self, *, resume_from_checkpoint: str | None = ...) -> TrainOutput: ...
    def save_model(self, folder: str) -> None: ...
