"""A random-start Qwen2 with a chat template, its tokenizer, and a small task of sums."""

import json
import random
from pathlib import Path
from typing import Any

IM_START, IM_END, END = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
CHAT = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML, as Qwen2 has it."""
DATED = "{{ bos_token }}{{ '[' + strftime_now('%d %b %Y') + '] ' + messages[0]['content'] }}"
"""A template that writes a begin-of-sequence token and today's date, as Llama 3.2's does."""


def tokenizer(*, chat: str | None = CHAT, bos: str | None = None) -> Any:
    """Return a byte-level BPE tokenizer with Qwen2's special tokens; `bos` begins every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = [END, IM_START, IM_END, *([bos] if bos else [])]
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(["user assistant system What is plus? Answer: 1 2 3"] * 4, trainer)
    if bos:
        core.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, core.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=IM_END,
        pad_token=END,
        bos_token=bos,
        additional_special_tokens=[IM_START],
        chat_template=chat,
    )


def checkpoint(
    directory: Path, *, seed: int = 0, chat: str | None = CHAT, words: Any = None
) -> Path:
    """Write a random-start Qwen2 of two layers with its tokenizer, or with a given one."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    words = words or tokenizer(chat=chat)
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(words),
            hidden_size=64,  # heads of 32, the least that vLLM takes on CPU
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=128,
            bos_token_id=None,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
            tie_word_embeddings=True,
        )
    )
    model.save_pretrained(directory)
    words.save_pretrained(directory)
    return directory


def sums(path: Path, *, count: int, seed: int = 0) -> Path:
    """Write sums of two digits as JSONL, with subjects and levels of their own."""
    generator = random.Random(seed)
    pairs = generator.sample([(a, b) for a in range(30) for b in range(30)], count)
    rows = [
        {"text": f"What is {a} plus {b}?", "sum": a + b, "level": 1 + (a + b > 9), "field": "sums"}
        for a, b in pairs
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
