"""Chat fixtures: what transformers makes of data/chat/conversations.json with published chat templates.

    python tests/reference/make_chats.py TEMPLATE.jinja...

The templates themselves are not part of this repository; their hashes are.
"""

import hashlib
import json
import sys
from pathlib import Path

import jinja2
import transformers
from transformers.utils.chat_template_utils import _compile_jinja_template

from paths import DATA

CHAT = DATA / "chat"


def render(template, conversation):
    """{"text": ...}, or {"error": ...} where the template raises."""
    try:
        return {"text": template.render(
            messages=conversation["messages"], tools=conversation.get("tools"), bos_token="<bos>",
            enable_thinking=conversation.get("thinking", False),
            add_generation_prompt=conversation.get("add_generation_prompt", True))}
    except (jinja2.exceptions.TemplateError, TypeError, AttributeError, KeyError) as error:
        return {"error": str(error).splitlines()[0]}


def render_all(path, conversations):
    source = Path(path).read_bytes()
    template = _compile_jinja_template(source.decode())
    return {"sha256": hashlib.sha256(source).hexdigest(),
            "sha256_without_newlines_at_end": hashlib.sha256(source.rstrip(b"\n")).hexdigest(),
            "renders": {c["name"]: render(template, c) for c in conversations}}


def make(paths):
    conversations = json.loads((CHAT / "conversations.json").read_text())
    templates = [render_all(path, conversations) for path in paths]
    made_with = {"transformers": transformers.__version__, "jinja2": jinja2.__version__}
    text = json.dumps({"made_with": made_with, "templates": templates}, ensure_ascii=False, indent=1)
    (CHAT / "renders.json").write_text(text + "\n")
    for template in templates:
        errors = sum("error" in result for result in template["renders"].values())
        print(f"{template['sha256']}: {len(template['renders'])} conversations, {errors} raise")


if __name__ == "__main__":
    make(sys.argv[1:])
