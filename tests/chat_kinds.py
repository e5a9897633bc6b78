"""Chat templates of five kinds in use, each with a small tokenizer that has its special tokens."""

from typing import Any, NamedTuple


class Kind(NamedTuple):
    """A kind of chat template; `special` are its tokens beside those of a beginning and an end."""

    template: str
    special: tuple[str, ...]
    bos: str | None
    eos: str
    adds_bos: bool
    system: bool = True


HEADERS = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim }}"
    "{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
CHATML = (
    "{% if messages[0].role != 'system' %}"
    "{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}"
    "{{ '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
INST = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ '<<SYS>>' ~ m.content ~ '<</SYS>>' }}"
    "{% elif m.role == 'user' %}{{ '[INST] ' ~ m.content ~ ' [/INST]' }}"
    "{% else %}{{ ' ' ~ m.content ~ eos_token }}{% endif %}{% endfor %}"
)
TURNS = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% set role = 'model' if m.role == 'assistant' else m.role %}"
    "{{ '<start_of_turn>' ~ role ~ '\n' ~ m.content | trim ~ '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
PARTS = (
    "{{ bos_token }}{% for m in messages %}{{ '<|turn|>' ~ m.role ~ ': ' }}"
    "{% for part in m.content %}{% if part.type == 'image' %}{{ '<|image|>' }}"
    "{% elif part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}"
    "{{ '<|end_of_turn|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|turn|>assistant:' }}{% endif %}"
)
KINDS = {
    "ChatML": Kind(CHATML, ("<|im_start|>", "<|endoftext|>"), None, "<|im_end|>", False),
    "headers": Kind(
        HEADERS,
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|begin_of_text|>",
        "<|end_of_text|>",
        True,
    ),
    "INST": Kind(INST, ("[INST]", "[/INST]"), "<s>", "</s>", True),
    "turns": Kind(
        TURNS, ("<start_of_turn>", "<end_of_turn>", "<pad>"), "<bos>", "<eos>", True, system=False
    ),
    "content parts": Kind(PARTS, ("<|turn|>", "<|end_of_turn|>", "<|image|>"), "<s>", "</s>", True),
    "ChatML, begun by the tokenizer": Kind(
        CHATML, ("<|im_start|>", "<|endoftext|>"), "<s>", "<|im_end|>", True
    ),
}
"""The last one's tokenizer begins texts with a token that its template does not write."""


def tokenizer(kind: Kind, *, appends_eos: bool = False, chat: bool = True) -> Any:
    """Return a byte-level BPE tokenizer of a kind; `appends_eos` puts an end behind every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = [*dict.fromkeys([*filter(None, [kind.bos, kind.eos]), *kind.special])]
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(["user assistant system What is plus? Answer: 1 2 3"] * 4, trainer)
    before = f"{kind.bos} " if kind.adds_bos else ""
    behind = f" {kind.eos}" if appends_eos else ""
    if before or behind:
        core.post_processor = processors.TemplateProcessing(
            single=f"{before}$A{behind}",
            special_tokens=[(name, core.token_to_id(name)) for name in special],
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=kind.bos,
        eos_token=kind.eos,
        pad_token="<pad>" if "<pad>" in special else None,
        additional_special_tokens=list(kind.special),
        chat_template=kind.template if chat else None,
    )
