"""YAML in, frozen plans out; the only place with pydantic."""

from dispatcher.config.document import MAX_DEPTH, MAX_VALUES
from dispatcher.config.load import load_file, load_mapping, load_text
from dispatcher.config.merges import CompiledMerge, CompileMerge, MergeCatalogue
from dispatcher.config.problems import ConfigErrors, Problem
from dispatcher.config.schema import json_schema
from dispatcher.config.settings import EMBEDDED, Config, ServerConfig
from dispatcher.model.limits import Limits

__all__ = [
    "EMBEDDED",
    "MAX_DEPTH",
    "MAX_VALUES",
    "CompileMerge",
    "CompiledMerge",
    "Config",
    "ConfigErrors",
    "Limits",
    "MergeCatalogue",
    "Problem",
    "ServerConfig",
    "json_schema",
    "load_file",
    "load_mapping",
    "load_text",
]
