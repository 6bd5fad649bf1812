"""A text to learn from: its documents, which of them are for training and which for validation, and what is known about it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gpt.data.documents import Split, split_documents
from gpt.data.files.errors import UnreadableFile
from gpt.data.files.formats import Part
from gpt.data.files.survey import DocumentHash, Fingerprint
from gpt.data.known import Known
from gpt.data.tokenizers.base import TextToLearn
from gpt.errors import UserError

LONGEST_PROMPT = 20  # characters of a prompt that is the beginning of a text


class CorpusError(UserError):
    """A text that cannot be read or is empty."""


@dataclass
class Corpus:
    """A text that is read anew, document by document, each time it is used: `documents` does so, and `fingerprint` says how long each is.
    `split` says which are for validation; `held_out` is a text of its own for validation, if there is one. `prompt` suits the text, `notes`
    is what a reader should know about it, `known` what is known about each of its characters, if it was generated so that this can be."""

    name: str
    documents: Callable[[], Iterator[Part]]
    fingerprint: Fingerprint
    split: Split
    prompt: str
    notes: list[str] = field(default_factory=list)
    known: Known | None = None
    held_out: "Corpus | None" = None

    @classmethod
    def of_text(cls, name: str, text: str, prompt: str = "", known: Known | None = None) -> "Corpus":
        """One document in memory, whose last tenth is for validation, where documents are `known` from the next of them on."""
        def documents() -> Iterator[Part]:
            yield Part(text, True)

        fingerprint = fingerprint_of(documents())
        split = split_documents(fingerprint.lengths, fingerprint.hashes, 0)
        if known:
            split = Split(split.validation, split.left_out, known.start_after(split.cut))
        return cls(name, documents, fingerprint, split, prompt, known=known)

    def train(self) -> Iterator[Part]:
        """The documents to learn from. Raises CorpusError if they are not as they were."""
        return self._chosen(False)

    def validation(self) -> Iterator[Part]:
        """The documents to evaluate on. Raises CorpusError if they are not as they were."""
        return self.held_out.everything() if self.held_out else self._chosen(True)

    def everything(self) -> Iterator[Part]:
        """All documents. Raises CorpusError if they are not as they were."""
        lengths, hashes = self.fingerprint.lengths, self.fingerprint.hashes
        index, length, words = 0, 0, DocumentHash()
        try:
            for part in self.documents():
                length += len(part.text)
                words.update(part.text)
                if part.ends and (index == len(lengths) or length != lengths[index] or words.value() != hashes[index]):
                    break
                yield part
                index, length, words = (index + 1, 0, DocumentHash()) if part.ends else (index, length, words)
        except UnreadableFile as error:
            raise CorpusError(f"the text {self.name!r} cannot be read any more: {error}") from None
        if index < len(lengths) or length:
            raise CorpusError(f"the text {self.name!r} changed while it was read: try again when nothing writes to it")

    def _chosen(self, validation: bool) -> Iterator[Part]:
        return self.split.part_for(validation, self.everything())

    def sentences(self) -> list[str]:
        """What was read, and what is for validation."""
        return [*self.notes, *([] if self.held_out else self.split.sentences(self.fingerprint.lengths))]

    @property
    def n_documents(self) -> int:
        return len(self.fingerprint.lengths)

    @property
    def has_documents(self) -> bool:
        """Whether there are several, of which each has an end."""
        return self.n_documents > 1 or (self.held_out is not None and self.held_out.n_documents > 1)

    def characters(self) -> tuple[int, int]:
        """How many there are to learn from, and to evaluate on."""
        lengths = self.fingerprint.lengths
        train, validation = self.split.characters(lengths)
        return train, sum(self.held_out.fingerprint.lengths) if self.held_out else validation

    def to_learn(self) -> TextToLearn:
        """The text, for a tokenizer to be made from."""
        def everything() -> Iterator[str]:
            return (part.text for corpus in (self, self.held_out) if corpus for part in corpus.everything())

        return TextToLearn(lambda: (part.text for part in self.train()), self.characters()[0], everything)

    @property
    def bytes(self) -> int:
        """Of all text, in UTF-8."""
        return self.fingerprint.bytes + (self.held_out.fingerprint.bytes if self.held_out else 0)

    def strings(self) -> tuple[str, str]:
        """(training text, validation text) of a short text, whole."""
        return "".join(part.text for part in self.train()), "".join(part.text for part in self.validation())

    def split_known(self) -> tuple[Known, Known] | None:
        """What is known about the training text, and about the validation text."""
        return self.known and self.known.split(self.split.cut)

    def identity(self) -> dict:
        """What the run folder stores about the text: enough to detect later that it has changed."""
        own = {"validation_sha256": self.held_out.fingerprint.sha256} if self.held_out else {}
        return {"name": self.name, "bytes": self.fingerprint.bytes, "sha256": self.fingerprint.sha256, **own, "documents": self.n_documents,
                "prompt": self.prompt, "notes": self.notes}


def fingerprint_of(documents: Iterator[Part]) -> Fingerprint:
    fingerprint = Fingerprint()
    for part in documents:
        fingerprint.add(part)
    return fingerprint


def first_words(text: str) -> str:
    """The first words of a text, at most 20 characters: a prompt that every tokenizer of this text can read."""
    first_line = text.strip().split("\n", 1)[0]
    return first_line[:LONGEST_PROMPT].rsplit(" ", 1)[0] if len(first_line) > LONGEST_PROMPT else first_line
