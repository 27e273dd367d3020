"""Fine-tunes a tiny random llama: `python tiny.py CHECKPOINTS OUTPUT SEED`, where torch is installed."""

import sys
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from rondel.training.frame import Pair
from rondel.training.gguf import lora_to_gguf
from rondel.training.lora_child import Options, fine_tune, tell

TEMPLATE = (
    "{% for m in messages %}<s>{{ m['role'] }}\n{{ m['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes, with three special tokens."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<pad>", "<s>", "</s>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator([], trainers.BpeTrainer(special_tokens=special, initial_alphabet=alphabet))
    made = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
    made.chat_template = TEMPLATE
    return made


def main() -> None:
    """Two layers, 48 pairs, 12 steps."""
    checkpoints, output, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    checkpoints.mkdir(parents=True, exist_ok=True)
    output.mkdir(parents=True, exist_ok=True)
    set_seed(0)
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    words = ["cancel", "return", "track"]
    pairs = [
        Pair(
            [{"role": "user", "content": f"please {words[n % 3]} {n}{'!' * (n % 5)}"}], f'{{"intent":"{words[n % 3]}"}}'
        )
        for n in range(48)
    ]
    options = Options(
        epochs=1,
        learning_rate=5e-3,
        batch_size=4,
        rank=4,
        alpha=8,
        dropout=0.1,
        warmup_steps=2,
        max_tokens=256,
        save_every=3,
    )
    measured = fine_tune(model, tokenizer(), pairs, options, seed=seed, checkpoints=checkpoints, output=output)
    lora_to_gguf(output / "peft", model.config, output / "adapter.gguf")
    tell("result", metrics=measured)


if __name__ == "__main__":
    main()
