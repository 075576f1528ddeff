"""Files of OpenAI's Batch API, and of others that took over its form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costaudit.ingest._batch import Answered, BatchFormat, Failed
from costaudit.ingest._decode import dig
from costaudit.ingest._format import Format
from costaudit.ingest._values import count, lenient, text
from costaudit.ingest.openai_chat import OpenAIChat
from costaudit.ingest.openai_embeddings import OpenAIEmbeddings
from costaudit.ingest.openai_responses import OpenAIResponses

BODY = ("response", "body")


class OpenAIBatch(BatchFormat):
    """Output and error files of the Batch API of OpenAI, Azure OpenAI and Mistral, as downloaded.

    A line wraps what the endpoint answered: Chat Completions, Responses or embeddings. It is priced as a batch,
    whatever tier the answer names: standing in a batch file is the only mark there is. Requests that failed or expired
    were not billed. A batch that was run again repeats its `custom_id`s with new ids: both were billed and both count;
    `custom_id` is the case that they share.

    Lines of input files (`custom_id`, `method`, `url`, `body`) are no calls yet and are skipped by type; so are batch
    objects, which sum up what the lines of their output say.
    """

    name = "openai-batch"
    title = "OpenAI Batch API files"

    def line(self, record: Mapping[str, Any]) -> Answered | Failed | str | None:
        if record.get("object") == "batch" and "endpoint" in record:
            return "batch object"  # its counts are those of the lines
        if "custom_id" not in record or "batch_id" in record:  # a gateway's own line about a batch has another shape
            return None
        if "body" in record and "url" in record and "response" not in record:
            return "batch input"
        if "response" not in record and "error" not in record:
            return None
        body = dig(record, BODY)
        status = dig(record, ("response", "status_code"))
        if isinstance(body, Mapping) and "usage" in body and (not isinstance(status, int) or status < 400):
            return Answered(_form_of(body), BODY)
        why = lenient(text)(
            dig(record, ("error", "code")) or dig(body, ("error", "code")) or dig(body, ("error", "type"))
        )
        code = lenient(count)(status)
        return Failed(lenient(text)(record.get("id")), "error", code, why or "batch request failed")


def _form_of(body: Mapping[str, Any]) -> type[Format]:
    if body.get("object") == "response":
        return OpenAIResponses
    return OpenAIEmbeddings if body.get("object") == "list" else OpenAIChat
