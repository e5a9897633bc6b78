r"""Cut a completion to the text after its reasoning and before the end of its turn.

All built-in graders use this one rule.

spoken_text("<think>is it 41?</think> It is 42.<|im_end|>") == " It is 42."
"""

import re
from typing import Literal

Reasoning = Literal["marked", "always", "ignored"]
"""`marked`: a completion whose reasoning block never ends has no answer. `always`: the prompt opens
the block, so a completion without the closing mark has no answer. `ignored`: all text is read."""

NAMES = "think|thinking|thoughts?|reason|reasoning|reflection|scratchpad|analysis"
TAG = rf"(?:[a-z]+[:_])?(?:{NAMES})"
# One of the signs in `MARK` comes before each: <think>, [THINK], <|begin_of_thought|>, ◁think▷.
BEGINS = (
    f"{TAG}>",
    r"think(?:ing)?\]",  # others in square brackets, such as [Analysis], are headings
    rf"\|(?:begin_of_|start_)?(?:{NAMES})\|>",
    "think▷",
    r"\|inner_prefix\|>",
    "unused94>",
    r"\|channel>thought",
    r"\|channel\|>\s*(?:analysis|commentary)",
)
ENDS = (
    rf"/{TAG}[>\]]",
    rf"\|(?:/|end_of_|end_)(?:{NAMES})\|>",
    "/think▷",
    r"\|inner_suffix\|>",
    "unused95>",
    r"channel\|>",
    r"\|channel\|>\s*final[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>",
)
MARK = re.compile(rf"[<\[◁](?i:(?P<begin>{'|'.join(BEGINS)})|(?P<end>{'|'.join(ENDS)}))")
BARE_CHANNEL, BARE_FINAL = re.compile(r"\s*analysis(?=[^\sa-z])"), "assistantfinal"
"""The channel names of gpt-oss that remain in a text without special tokens."""
TURN_END = re.compile(
    r"<\|(?i:im_end|im_start|eot_id|eom_id|eot|eos|endoftext|end_of_text|end_of_turn(?:_token)?"
    r"|end_of_solution|end_response|endofassistant|start_header_id|user|call|return|end)\|>"
    r"|<｜(?:end▁of▁sentence|User)｜>|<(?:end_of_turn|start_of_turn|turn\||eos|pad)>"
    r"|</s>(?=\s*(?:<|\Z))|\[(?:EOS|/?INST)\]"
)


def spoken_text(text: str, reasoning: Reasoning = "marked") -> str | None:
    """Return the text of a completion after its reasoning; None if the reasoning never ends."""
    if reasoning != "ignored":
        if BARE_CHANNEL.match(text):
            _, is_final, text = text.rpartition(BARE_FINAL)
            if not is_final:
                return None
        behind, is_open = 0, reasoning == "always"
        for mark in MARK.finditer(text):
            is_open = mark["end"] is None
            behind = behind if is_open else mark.end()
        if is_open:
            return None
        text = text[behind:]
    end = TURN_END.search(text)
    return text[: end.start()] if end else text
