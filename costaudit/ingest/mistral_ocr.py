"""Mistral's OCR endpoint: pages are what it bills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from costaudit import schema
from costaudit.ingest._format import TableFormat, around, custom, request, text
from costaudit.ingest._openai import HOST, provider, quantities
from costaudit.ingest._values import counted


def _pages(info: Any) -> list[dict[str, Any]] | None:
    """Pages of an answer. Raises ValueError for a value that is no count."""
    return quantities({"pages": counted(info.get("pages_processed"))}) if isinstance(info, Mapping) else None


def _described(pages: Any) -> bool | None:
    """Whether a picture of any page was annotated; null where none was."""
    pictures = [page.get("images") for page in pages if isinstance(page, Mapping)] if isinstance(pages, list) else []
    found = [picture for listed in pictures if isinstance(listed, list) for picture in listed]
    return any(isinstance(one, Mapping) and bool(one.get("image_annotation")) for one in found) or None


class MistralOcr(TableFormat):
    """Answers of Mistral's OCR endpoint, bare or in a log record with their request.

    - Pages are billed. Those of an answer with an annotation, of the document or of its pictures
      (`document_annotation`, `image_annotation`), have a price of their own.
    - The answer has neither an id nor a time: without a record around it that has them (`request_id`, `timestamp`),
      copies of a call cannot be told from repeated calls.
    """

    name = "mistral-ocr"
    title = "Mistral OCR"
    wrappable = True
    signs = ("extras",)
    fields = {
        "request_id": around(text("request_id", "x_request_id", "response_id")),
        "model": text("model"),
        "model_requested": (request(text("model")), around(text("request.model"))),
        "extras": custom(_pages, schema.EXTRAS, "usage_info"),
        "provider": around(text("provider")),
        "_annotated": custom(lambda value: bool(value) or None, pl.Boolean(), "document_annotation"),
        "_described": custom(_described, pl.Boolean(), "pages"),
        "_host": HOST,
    }

    def recognises(self, record: Mapping[str, Any]) -> int:
        info = record.get("usage_info")
        return 85 if isinstance(info, Mapping) and "pages_processed" in info and "pages" in record else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        read, annotated = pl.col("extras"), pl.any_horizontal("_annotated", "_described").fill_null(value=False)
        renamed = read.list.eval(
            pl.struct(pl.lit("annotated_pages").alias("class"), pl.element().struct.field("quantity"))
        )
        known = read.list.len() > 0
        nothing = pl.when(known).then(pl.lit(0, pl.Int64))  # pages are all that is billed
        return picked.with_columns(
            extras=pl.when(annotated).then(renamed).otherwise(read),
            input_tokens=nothing,
            output_tokens=nothing,
            provider=provider("_host", pl.col("provider").str.to_lowercase(), pl.lit("mistral")),
        ).drop("_annotated", "_described", "_host")
