"""`lora`: supervised fine-tuning of low-rank adapters with torch, transformers, peft and trl, in a child process."""

import os
import sys
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import ClassVar

import msgspec

from rondel.chat import Message
from rondel.errors import Invalid, Unavailable
from rondel.prompts.models import PromptDraft
from rondel.prompts.rules import escape
from rondel.training import frame
from rondel.training.ports import BASE_MODEL, Made, Means, Trainer, Watcher, Work
from rondel.training.rules import answer_schema, answer_tokens

SYSTEM = {True: "Extract the fields as JSON.", False: "Answer."}
NEEDED = ("torch", "transformers", "peft", "trl", "datasets", "gguf")


@dataclass(frozen=True, slots=True)
class LoraTrainer(Trainer):
    """LoRA on all linear layers; only the answer is learnt (completion-only loss).

    The defaults are for a few hundred examples and a small model on a CPU. Longer examples than `max_tokens` are
    refused. `system` is the system line that the model is trained and will be served with: short by default, none when
    empty. Source: Hu et al. 2021, arXiv:2106.09685.
    """

    epochs: float = 1.0
    learning_rate: float = 5e-4
    batch_size: int = 4
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    warmup_steps: int = 10
    max_tokens: int = 1024
    save_every: int = 20
    threads: int = 0
    system: str | None = None

    capabilities: ClassVar[frozenset[str]] = frozenset({BASE_MODEL})

    def check(self, work: Work) -> None:
        """The libraries must be here, and the numbers make sense."""
        del work
        lacking = [name for name in NEEDED if find_spec(name) is None]
        if lacking:
            raise Unavailable(
                f"Trainer 'lora' needs {', '.join(lacking)}, not installed here: "
                "pip install torch --index-url https://download.pytorch.org/whl/cpu && pip install 'rondel[train]'"
            )
        wrong = [
            name
            for name in ("epochs", "learning_rate", "batch_size", "rank", "alpha", "max_tokens", "save_every")
            if getattr(self, name) <= 0
        ]
        if wrong or not 0 <= self.dropout < 1:
            raise Invalid(f"Option {(wrong or ['dropout'])[0]!r} of trainer 'lora' is out of range.")

    def train(self, work: Work, means: Means, watcher: Watcher) -> Made:
        """The adapter as GGUF, the PEFT folder as artifacts, and the prompt that goes with it."""
        schema = answer_schema(work.examples)
        system = self.system if self.system is not None else SYSTEM[schema is not None]
        messages = (Message("system", escape(system)),) if system else ()
        threads = str(self.threads or os.cpu_count() or 1)
        made = frame.run(
            [sys.executable, "-m", "rondel.training.lora_child"],
            work,
            means,
            watcher,
            messages=(Message("system", system),) if system else (),
            environment={
                "RONDEL_LORA": msgspec.json.encode(asdict(self)).decode(),
                "OMP_NUM_THREADS": threads,
                "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin while others work are many times slower
                "HF_HUB_OFFLINE": "1",
                "TOKENIZERS_PARALLELISM": "false",
                "PYTHONUNBUFFERED": "1",
                "PYTHONHASHSEED": "0",
                "PYTHONWARNINGS": "ignore",
                "TRANSFORMERS_VERBOSITY": "error",
                "TQDM_DISABLE": "1",
            },
        )
        prompt = PromptDraft(
            messages=(*messages, Message("user", "{{ input }}")),
            parameters={"temperature": 0, "max_tokens": answer_tokens(work.examples)},
            response_schema=schema,
        )
        return Made(
            metrics=made.metrics,
            files=made.files,
            adapter=made.adapter,
            prompt=prompt,
            note=f"Made for the adapter of run {work.run_id}.",
        )
