import json

import pytest

from benchmarks.quality.pages.lab import lab_files
from segmix_core.errors import ProjectError


def test_a_choice_is_a_question_an_answer_and_a_table(docs):
    ((path, text),) = lab_files(docs).items()
    assert path == docs / "lab" / "choices.md"
    _, section = text.split("\n## ")
    assert section.startswith("Title of val\n\nBefore.")
    assert "data, protocol p2: 2 val images, 2 seeds" in section
    assert "[er.json](choices/er.json)\n\n| Method |" in section


def test_a_choice_needs_a_question(docs):
    (docs / "lab" / "choices" / "er.md").unlink()
    with pytest.raises(ProjectError, match=r"no er\.md beside er\.json"):
        lab_files(docs)


def test_test_scores_choose_nothing(docs):
    path = docs / "lab" / "choices" / "er.json"
    content = json.loads(path.read_text(encoding="utf-8")) | {"split": "test"}
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ProjectError, match=r"er\.json has scores of test images"):
        lab_files(docs)
