from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LookupRequest(_message.Message):
    __slots__ = ("phrase", "limit")
    PHRASE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    phrase: str
    limit: int
    def __init__(self, phrase: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class LookupReply(_message.Message):
    __slots__ = ("concepts",)
    CONCEPTS_FIELD_NUMBER: _ClassVar[int]
    concepts: _containers.RepeatedCompositeFieldContainer[Concept]
    def __init__(self, concepts: _Optional[_Iterable[_Union[Concept, _Mapping]]] = ...) -> None: ...

class Concept(_message.Message):
    __slots__ = ("code", "preferred_name", "matched_name", "similarity")
    CODE_FIELD_NUMBER: _ClassVar[int]
    PREFERRED_NAME_FIELD_NUMBER: _ClassVar[int]
    MATCHED_NAME_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    code: str
    preferred_name: str
    matched_name: str
    similarity: float
    def __init__(self, code: _Optional[str] = ..., preferred_name: _Optional[str] = ..., matched_name: _Optional[str] = ..., similarity: _Optional[float] = ...) -> None: ...
