"""Responses that tell who wrote them: a blind verdict must not rest on that.

Knows no table and no screen.
"""

import re
from collections.abc import Collection

_ALWAYS = r"ChatGPT|GPT-?[2-9](?:\.\d|o)?(?:-\w+)?|DeepSeek|Mixtral|Vicuna|Qwen[\w.-]*|InstructGPT|SmolLM\w*|TinyLlama"
# also words and names
_MAYBE = r"Claude|Gemini|Bard|Llama|LLaMA|Mistral|Gemma|Falcon|Phi|Alpaca|Grok|Copilot|Assistant"
_MAKERS = r"OpenAI|Anthropic|Google(?: DeepMind)?|Meta(?: AI)?|Microsoft|Alibaba|Mistral AI|xAI|Hugging ?Face"
_INTRODUCTION = (
    r"(?:I am|I['’]m|[Mm]y name is|[Cc]all me|[Aa]s)\s+"
    r"(?:an? |the )?(?:AI |language |assistant |model |named |called )*"
)
_PATTERNS = (
    re.compile(rf"\b(?:{_ALWAYS})\b"),
    re.compile(rf"\b{_INTRODUCTION}(?:{_MAYBE})\b"),
    re.compile(rf"\b(?:developed|created|trained|made|built|designed) by (?:{_MAKERS})\b"),
)
_TELLING = re.compile(r"[\d/_-]")  # a contender's name with one of these is no common word


def named_model(text: str, contenders: Collection[str] = ()) -> str:
    """Return the words by which a response names a model or its maker, '' for none.

    Names that are also common words or people's (Claude, Gemini) count only where the response
    introduces itself by them, and a contender's only where it is no common word.
    """
    for name in contenders:
        if _TELLING.search(name) and re.search(
            rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE
        ):
            return name
    found = (pattern.search(text) for pattern in _PATTERNS)
    return next((match.group() for match in found if match), "")


def told_names(models: Collection[str]) -> list[str]:
    """Return what models may call themselves: their names, and of one behind an address its own."""
    return sorted({*models, *(name.rpartition("#")[2] for name in models)})
