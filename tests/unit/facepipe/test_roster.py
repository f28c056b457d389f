"""Who is found on the disk."""

import json
import tracemalloc
from pathlib import Path

import pytest

from facepipe.foreign import open_foreign
from facepipe.roster import Person, Skipped, find_people, read_manifest


def touch(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()


def shown(people: list[Person]) -> list[tuple[str | None, str, list[str]]]:
    return [(one.external_id, one.name, [image.name for image in one.images]) for one in people]


def test_people_are_the_folders_that_hold_images(tmp_path: Path) -> None:
    assert list(find_people(tmp_path, max_images=5)) == []
    touch(tmp_path, "Ada_L/2.png", "Ada_L/1.JPG", "Ada_L/notes.txt", "empty/notes.txt", "Bo/1.webp", "Bo/2.webp")
    skipped = Skipped()
    people = list(find_people(tmp_path, max_images=1, skipped=skipped))
    assert shown(people) == [("Ada_L", "Ada L", ["1.JPG"]), ("Bo", "Bo", ["1.webp"])]
    assert [one.left_out for one in people] == [1, 1]
    assert skipped.other == 2


def test_numbered_pictures_in_one_folder_are_people_too(tmp_path: Path) -> None:
    touch(tmp_path, "Ada_L_2.jpg", "Ada_L_10.jpg", "Bo-1.png", "Bo_2.png", "Cleo.jpg", "Dr. No 007.jpg", "a b_1.jpg")
    assert shown(list(find_people(tmp_path, max_images=9))) == [
        ("Ada_L", "Ada L", ["Ada_L_10.jpg", "Ada_L_2.jpg"]),
        ("Bo", "Bo", ["Bo-1.png", "Bo_2.png"]),
        ("Cleo", "Cleo", ["Cleo.jpg"]),
        ("Dr. No", "Dr. No", ["Dr. No 007.jpg"]),
        ("a b", "a b", ["a b_1.jpg"]),
    ]


def test_hidden_and_foreign_files_and_inner_folders_are_passed_over_and_counted(tmp_path: Path) -> None:
    touch(tmp_path, ".git/1.jpg", ".DS_Store", "Thumbs.db", "Ada/.1.jpg.swp", "Ada/1.jpg", "Ada/old/2.jpg", "Ada/x.mp4")
    skipped = Skipped()
    assert shown(list(find_people(tmp_path, max_images=9, skipped=skipped))) == [("Ada", "Ada", ["1.jpg"])]
    assert (skipped.hidden, skipped.other, skipped.folders) == (3, 2, 1)


def test_one_name_has_one_spelling_whatever_the_file_system(tmp_path: Path) -> None:
    touch(tmp_path, "Zoe\u0308/1.jpg", "東京/1.jpg")
    assert [one.name for one in find_people(tmp_path, max_images=9)] == ["Zoë", "東京"]


def test_a_name_that_is_no_text_is_still_somebody(tmp_path: Path) -> None:
    folder = Path(str(tmp_path) + "/Zo\udcff")
    folder.mkdir()
    (folder / "1.jpg").touch()
    (person,) = find_people(tmp_path, max_images=9)
    assert person.name.encode().startswith(b"Zo")
    assert person.images[0].is_file()


def test_ten_thousand_images_need_no_more_memory_than_their_names(tmp_path: Path) -> None:
    for number in range(500):
        folder = tmp_path / f"person_{number:03}"
        folder.mkdir()
        for image in range(20):
            (folder / f"{image:02}.jpg").touch()
    tracemalloc.start()
    images = sum(len(person.images) for person in find_people(tmp_path, max_images=50))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert images == 10_000
    assert peak < 400_000  # the paths of all would be several MB


def test_a_csv_manifest_says_who_is_who(tmp_path: Path) -> None:
    manifest = tmp_path / "people.csv"
    manifest.write_text(
        "\ufeffname,external_id,file,metadata,team\n"
        'Ada,7,a/1.jpg,"{""floor"": 2}",engine\n'
        "Ada,7,a/2.jpg,,engine\n"
        "Bo,,b.jpg,,\n"
    )
    people = list(read_manifest(manifest, max_images=9))
    assert shown(people) == [("7", "Ada", ["1.jpg", "2.jpg"]), (None, "Bo", ["b.jpg"])]
    assert people[0].metadata == {"floor": 2, "team": "engine"}
    assert people[0].images[0] == tmp_path / "a" / "1.jpg"


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_a_json_manifest_says_who_is_who(tmp_path: Path, suffix: str) -> None:
    entries = [{"name": "Ada", "files": ["1.jpg", "2.jpg"], "metadata": {"floor": 2}}, {"name": "Bo", "file": "b.jpg"}]
    manifest = tmp_path / f"people{suffix}"
    manifest.write_text(json.dumps(entries) if suffix == ".json" else "\n".join(map(json.dumps, entries)))
    people = list(read_manifest(manifest, max_images=1))
    assert shown(people) == [(None, "Ada", ["1.jpg"]), (None, "Bo", ["b.jpg"])]
    assert people[0].left_out == 1


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.csv", "name,picture\nAda,1.jpg\n", "the first line must name the columns"),
        ("m.csv", "name,file\n,1.jpg\n", "line 2: `name`"),
        ("m.csv", "name,file\nAda,\n", "line 2: there is no file"),
        ("m.csv", "name,file\nAda,1.jpg,more\n", "more or fewer columns"),
        ("m.csv", "name,file,metadata\nAda,1.jpg,[]\n", "`metadata` must be a JSON object"),
        ("m.json", "{}", "a list of people"),
        ("m.json", "[1]", "entry 1"),
        ("m.json", '[{"name": "Ada", "files": [1]}]', "list of paths"),
        ("m.json", '[{"name": "Ada", "file": "1.jpg", "nick": "A"}]', "'nick'"),
        ("m.jsonl", '{"name": "Ada", "file": "1.jpg"}\n{', "line 2: this is not JSON"),
    ],
)
def test_a_malformed_manifest_is_named_with_its_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said):
        list(read_manifest(tmp_path / name, max_images=9))


def test_a_compreface_listing_is_read_with_its_pictures(tmp_path: Path) -> None:
    touch(tmp_path, "images/aa.jpg", "images/bb.png")
    faces = [{"image_id": "bb", "subject": "Bo"}, {"image_id": "aa", "subject": "Ada"}]
    faces.append({"image_id": "gone", "subject": "Bo"})
    (tmp_path / "faces.json").write_text(json.dumps({"faces": faces}))
    with open_foreign("compreface", tmp_path, max_images=9) as foreign:
        assert shown(list(foreign.people())) == [("Ada", "Ada", ["aa.jpg"]), ("Bo", "Bo", ["bb.png", "gone"])]


def test_a_compreface_database_is_read_from_its_tables(tmp_path: Path) -> None:
    (tmp_path / "subject.csv").write_text("id,api_key,subject_name\ns1,k,Ada\ns2,k,Bo\n")
    (tmp_path / "embedding.csv").write_text("id,subject_id,img_id\ne1,s1,i1\ne2,s2,i2\ne3,s2,\n")
    (tmp_path / "img.csv").write_text("id,content\ni1,\\xffd8ffe0\ni2,\\x89504e47\n")
    with open_foreign("compreface", tmp_path, max_images=9) as foreign:
        for _ in range(2):
            people = list(foreign.people())
            assert shown(people) == [("Ada", "Ada", ["i1.jpg"]), ("Bo", "Bo", ["i2.png"])]
        assert people[0].images[0].read_bytes() == b"\xff\xd8\xff\xe0"


def test_a_compreface_folder_is_a_folder_a_subject(tmp_path: Path) -> None:
    touch(tmp_path, "Ada/1.jpg")
    with open_foreign("compreface", tmp_path, max_images=9) as foreign:
        assert shown(list(foreign.people())) == [("Ada", "Ada", ["1.jpg"])]


def test_an_insightface_dataset_is_read_when_it_names_pictures(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"Ada": [{"img": "ada/1.jpg", "embedding": [0.1]}], "Bo": [{"img": "b.jpg"}]}))
    for given in (tmp_path, path):
        with open_foreign("insightface", given, max_images=9) as foreign:
            people = list(foreign.people())
        assert shown(people) == [("Ada", "Ada", ["1.jpg"]), ("Bo", "Bo", ["b.jpg"])]
        assert people[0].images[0] == tmp_path / "ada" / "1.jpg"


def test_vectors_without_pictures_are_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps([["Ada", "0.1,0.2"]]))
    with (
        open_foreign("insightface", tmp_path, max_images=9) as foreign,
        pytest.raises(ValueError, match="vectors without pictures"),
    ):
        list(foreign.people())
