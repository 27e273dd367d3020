"""The process that fine-tunes: torch lives and dies here, never in the worker.

`python -m rondel.training.lora_child`, in the frame of `rondel.training.frame`, with the trainer's options as JSON in
RONDEL_LORA. Started again after a crash it goes on at the last whole checkpoint.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from trl import SFTConfig, SFTTrainer

from rondel.clock import SystemClock
from rondel.training.frame import Pair
from rondel.training.gguf import load_hf, lora_to_gguf

BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


class Options(msgspec.Struct, frozen=True):
    """The trainer's options (see `LoraTrainer`)."""

    epochs: float
    learning_rate: float
    batch_size: int
    rank: int
    alpha: int
    dropout: float
    warmup_steps: int
    max_tokens: int
    save_every: int


def tell(kind: str, **values: object) -> None:
    """Write a report line."""
    sys.stdout.write(msgspec.json.encode({"rondel": kind, **values}).decode() + "\n")
    sys.stdout.flush()


class Reports(TrainerCallback):
    """Tells each logged step."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, object] | None = None,
        **kwargs: object,
    ) -> None:
        """Loss, learning rate, gradient norm and the like of a step."""
        del args, control, kwargs
        numbers = {name: float(value) for name, value in (logs or {}).items() if isinstance(value, int | float)}
        shown = {name: numbers[name] for name in NAMES if name in numbers}
        if "loss" in shown:
            metrics = {NAMES[name]: value for name, value in shown.items()}
            tell("step", step=state.global_step, of=state.max_steps, metrics=metrics)


NAMES = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "gradient_norm",
    "mean_token_accuracy": "token_accuracy",
    "num_tokens": "tokens",
}


def best_dtype() -> torch.dtype:
    """bf16 where the device computes with it, else float32."""
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    cpu = Path("/proc/cpuinfo")
    flags = set(cpu.read_text().split()) if cpu.is_file() else set[str]()
    return torch.bfloat16 if flags & BF16_FLAGS else torch.float32


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint: the trainer writes its state last, so one without it was cut off."""
    found = [path for path in folder.glob("checkpoint-*") if (path / "trainer_state.json").is_file()]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def check_lengths(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair], limit: int) -> int:
    """The longest example in tokens; an error report and exit 1 when one is over `limit`."""
    longest, where = 0, 0
    for position, pair in enumerate(pairs):
        answer = {"role": "assistant", "content": pair.completion}
        text = tokenizer.apply_chat_template([*pair.prompt, answer], tokenize=False)
        size = len(tokenizer(str(text))["input_ids"])
        if size > longest:
            longest, where = size, position
    if longest > limit:
        tell(
            "error",
            message=f"Example {where + 1} has {longest} tokens with its answer, and 'max_tokens' is {limit}: "
            "leave it out, or raise the option.",
        )
        sys.exit(1)
    return longest


def fine_tune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[Pair],
    options: Options,
    *,
    seed: int,
    checkpoints: Path,
    output: Path,
) -> dict[str, float]:
    """Train, save the PEFT adapter in `output`, and return what was measured.

    The order of the data, dropout and the adapter's first values all come from `seed`; a resumed training skips the
    batches that its checkpoint has seen, so its losses are those of one that was never cut off.
    """
    longest = check_lengths(tokenizer, pairs, options.max_tokens)
    set_seed(seed)
    data = Dataset.from_list(
        [{"prompt": pair.prompt, "completion": [{"role": "assistant", "content": pair.completion}]} for pair in pairs]
    )
    arguments = SFTConfig(
        output_dir=str(checkpoints),
        per_device_train_batch_size=options.batch_size,
        num_train_epochs=options.epochs,
        learning_rate=options.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=options.warmup_steps,
        completion_only_loss=True,
        max_length=longest,
        train_sampling_strategy="group_by_length",  # padding is a third of the work otherwise
        logging_steps=1,
        save_strategy="steps",
        save_steps=options.save_every,
        save_total_limit=2,
        report_to=[],
        use_cpu=not torch.cuda.is_available(),
        bf16=False,
        gradient_checkpointing=False,
        seed=seed,
        data_seed=seed,
        dataloader_num_workers=0,
        disable_tqdm=True,
    )
    lora = LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=data,
        processing_class=tokenizer,
        peft_config=lora,
        callbacks=[Reports()],
    )
    trainer.remove_callback(PrinterCallback)
    last = last_checkpoint(checkpoints)
    if last is not None:
        sys.stdout.write(f"Going on at {last.name}.\n")
    outcome = trainer.train(resume_from_checkpoint=str(last) if last else None)
    trainer.save_model(str(output / "peft"))
    trained = sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad)
    return {
        "train_loss": float(outcome.training_loss),
        "steps": float(outcome.global_step),
        "examples": float(len(pairs)),
        "longest_tokens": float(longest),
        "trained_parameters": float(trained),
    }


def main() -> None:
    """Base GGUF to PEFT adapter to GGUF adapter."""
    clock = SystemClock()
    begun = clock.monotonic()
    options = msgspec.json.decode(os.environ["RONDEL_LORA"], type=Options)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    train_file, output = Path(os.environ["RONDEL_TRAIN_FILE"]), Path(os.environ["RONDEL_OUTPUT"])
    pairs = [msgspec.json.decode(line, type=Pair) for line in train_file.read_bytes().splitlines()]
    model, tokenizer = load_hf(Path(os.environ["RONDEL_BASE_MODEL"]), best_dtype())
    loaded = clock.monotonic()
    tell("result", metrics={"load_s": round(loaded - begun, 2)})
    measured = fine_tune(
        model,
        tokenizer,
        pairs,
        options,
        seed=int(os.environ["RONDEL_SEED"]),
        checkpoints=Path(os.environ["RONDEL_CHECKPOINTS"]),
        output=output,
    )
    size = lora_to_gguf(output / "peft", model.config, output / "adapter.gguf")
    for path in (output / "peft").iterdir():
        if path.name not in KEPT:
            path.unlink()
    tell(
        "result",
        metrics={**measured, "train_s": round(clock.monotonic() - loaded, 2), "adapter_bytes": float(size)},
    )


KEPT = frozenset({"adapter_config.json", "adapter_model.safetensors"})


if __name__ == "__main__":
    main()
