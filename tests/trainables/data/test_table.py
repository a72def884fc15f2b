"""Tables as people have them, against scikit-learn's encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from trainables.data.dataset import Dataset, load_dataset
from trainables.errors import UserError


def load(path: Path, label: str = "income", **options: Any) -> Dataset:
    return load_dataset({"name": "table", "path": str(path), "label": label, **options})


def people(n: int = 60, seed: int = 0) -> pd.DataFrame:
    """A small table of the kind of UCI's Adult."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.integers(17, 90, n).astype(float),
            "workclass": rng.choice(["Private", "State-gov", "Never-worked"], n),
            "gain": rng.lognormal(3, 1, n),
            "citizen": rng.random(n) < 0.7,
            "sex": rng.choice(["Male", "Female"], n),
            "income": rng.choice(["<=50K", ">50K"], n),
        }
    )
    frame.loc[[3, 11], "age"] = np.nan
    frame.loc[[5, 20, 21], "workclass"] = None
    return frame


def split(frame: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """Training and test rows in two files; test rows come last."""
    frame[:-20].to_csv(folder / "train.csv", index=False)
    frame[-20:].to_csv(folder / "test.csv", index=False)
    return {"path": folder / "train.csv", "test_path": str(folder / "test.csv")}


def test_a_category_called_missing_is_not_taken_for_what_is_missing(tmp_path: Path) -> None:
    frame = people()
    frame.loc[frame["workclass"] == "Private", "workclass"] = "missing"
    data = load(**split(frame, tmp_path))
    place = [feature for column in data.columns for feature in column.features]
    known = data.x_test[:, place.index("workclass=missing")] > 0
    np.testing.assert_array_equal(known, frame["workclass"][-20:] == "missing")
    absent = data.x_train[:, place.index("workclass=missing_")] > 0
    np.testing.assert_array_equal(absent, frame["workclass"][:-20].isna())


def test_columns_are_encoded_as_scikit_learn_does(tmp_path: Path) -> None:
    frame = people()
    data = load(**split(frame, tmp_path))
    frame["workclass"] = frame["workclass"].fillna("missing")
    numeric, categorical = ["age", "gain", "citizen"], ["workclass", "sex"]
    known = [[*sorted(set(frame["workclass"]) - {"missing"}), "missing"], ["Female", "Male"]]
    encoder = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numeric),
            ("categories", OneHotEncoder(categories=known, sparse_output=False), categorical),
        ],
        verbose_feature_names_out=False,
    )
    frame["citizen"] = frame["citizen"].astype(float)
    expected = encoder.fit(frame[:-20]).transform(frame[-20:])
    ours = [feature for column in data.columns for feature in column.features]
    theirs = [
        name if name in numeric else "=".join(name.split("_", 1)) for name in encoder.get_feature_names_out()
    ]
    assert sorted(ours) == sorted(theirs)
    np.testing.assert_allclose(data.x_test, expected[:, [theirs.index(f) for f in ours]], atol=1e-5)
    assert data.class_names == ("<=50K", ">50K")
    assert [data.class_names[c] for c in data.y_test] == frame["income"][-20:].tolist()
    assert data.notes == (
        f"2 rows miss 'age' and have its median in training, {frame['age'][:-20].median():g}",
        "3 training rows miss 'workclass', a category of its own",
    )


def test_a_page_reads_rows_and_not_features(tmp_path: Path) -> None:
    frame = people()
    data = load(**split(frame, tmp_path))
    shown = data.readable(data.x_test)
    first = frame.iloc[-20]
    assert shown[0] == (
        f"age {first['age']:g}, workclass {first['workclass']}, gain {first['gain']:.6g}, "
        f"citizen {int(first['citizen'])}, sex {first['sex']}"
    )


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".parquet", "semicolon.csv", "bom.csv"])
def test_every_format_gives_the_same_data(tmp_path: Path, suffix: str) -> None:
    frame = people()
    plain, other = tmp_path / "plain.csv", tmp_path / f"other{suffix}"
    frame.to_csv(plain, index=False)
    if suffix == ".parquet":
        frame.to_parquet(other)
    else:
        separator = {".tsv": "\t", "semicolon.csv": ";"}.get(suffix, ",")
        encoding = "utf-8-sig" if suffix == "bom.csv" else "utf-8"
        frame.to_csv(other, index=False, sep=separator, encoding=encoding)
    assert load(other).fingerprint == load(plain).fingerprint
    assert (len(load(plain).y_train), len(load(plain).y_test)) == (48, 12)
    assert len(load(plain, test_share=0.5).y_test) == 30


def test_units_and_spellings_do_not_matter(tmp_path: Path) -> None:
    frame = people()
    plain = load(**split(frame, tmp_path))
    frame["gain"] *= 1000
    frame["age"] += 5
    frame["sex"] = frame["sex"].map({"Male": " 2", "Female": " 1"}) + "nd"
    frame["workclass"] = frame["workclass"].fillna("?")
    other = load(**split(frame, tmp_path))
    np.testing.assert_allclose(other.x_train, plain.x_train, atol=1e-5)
    np.testing.assert_allclose(other.x_test, plain.x_test, atol=1e-5)


@pytest.mark.parametrize("loader", [load_breast_cancer, load_wine])
def test_public_tables_train(tmp_path: Path, loader: Any) -> None:
    from trainables import Recipe, train_replicas

    bunch = loader(as_frame=True)
    frame = bunch.frame.assign(target=np.array(bunch.target_names)[bunch.target])
    frame.to_csv(tmp_path / "t.csv")  # with the index that counts the rows, as people write it
    data = load(tmp_path / "t.csv", "target")
    assert data.class_names == tuple(sorted(bunch.target_names))
    assert data.notes == ("column 'Unnamed: 0' only counts the rows and was left out",)
    assert data.x_train.shape[1] == bunch.data.shape[1]
    record = train_replicas(Recipe(epochs=10), data, {"name": "mlp", "hidden": [16]}, range(2))
    assert record.test_accuracy.min() > 0.9


def test_columns_may_be_left_out_and_rows_drawn(tmp_path: Path) -> None:
    frame = people()
    frame["name"] = [f"person {i}" for i in range(60)]
    frame.to_csv(tmp_path / "t.csv", index=False)
    data = load(tmp_path / "t.csv", drop=["name", "age"], train_size=30, canaries=3)
    assert [column.name for column in data.columns] == ["workclass", "gain", "citizen", "sex"]
    assert len(data.y_train) == 30


def test_what_no_training_row_has_is_said(tmp_path: Path) -> None:
    frame = people()
    frame.loc[58, "sex"] = "Diverse"
    frame.loc[59, "sex"] = None
    data = load(**split(frame, tmp_path))
    assert "2 test rows have a 'sex' that no training row has; all its features are 0" in data.notes
    assert data.readable(data.x_test)[-1].endswith("sex other")


def test_a_large_table_says_how_far_it_is(tmp_path: Path) -> None:
    frame = people(50_000)
    frame.to_csv(tmp_path / "large.csv", index=False)
    said: list[tuple[str, int, int]] = []
    spec = {"name": "table", "path": str(tmp_path / "large.csv"), "label": "income"}
    assert len(load_dataset(spec, report=lambda *told: said.append(told)).y_train) == 40_000
    size = (tmp_path / "large.csv").stat().st_size
    assert len(said) > 5
    assert {what for what, _, _ in said} == {"bytes of large.csv"}
    assert max(done for _, done, _ in said) == size


def numbered(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"x": np.arange(40.0), "income": ["a", "b"] * 20} | columns)


REFUSED = [
    (numbered(), {"label": "incom"}, "dataset.label: 'incom' is no column; did you mean 'income'"),
    (numbered(), {"drop": ["y"]}, "dataset.drop: 'y' is no column"),
    (numbered(), {"drop": 3}, "dataset.drop: 3: expected a list of columns"),
    (numbered(), {"drop": "x"}, "has no column beside label 'income' and what is dropped"),
    (numbered(), {"test_share": 1.5}, "dataset.test_share: 1.5 is not between 0 and 1"),
    (numbered(), {"test_share": 0.001}, "leaves one side empty"),
    (numbered(), {"test_share": 0.5, "test_path": "t.csv"}, "expected one of the two"),
    (numbered(), {"test_path": "nowhere.csv"}, "dataset.test_path: .*nowhere.csv does not exist"),
    (numbered(), {"label": "x", "train_size": 10}, "labels that no training example has"),
    (numbered(income=np.linspace(0, 1, 40)), {}, "'income' holds .*; expected classes, not a quantity"),
    (numbered(income=["a", None] * 20), {}, "'income' is missing in 1[0-9] training rows"),
    (numbered(income="a"), {}, "all 32 training labels are 'a'"),
    (numbered(y=[f"p{i}" for i in range(40)]), {}, "'y' has 32 different values .* name it in 'drop'"),
    (numbered(y=[np.inf] * 40), {}, "'y' holds infinite values in training rows"),
    (numbered(y=[None] * 40), {}, "'y' is empty in training; name it in 'drop'"),
]


@pytest.mark.parametrize(("frame", "options", "message"), REFUSED, ids=[m for *_, m in REFUSED])
def test_mistakes_name_the_column(
    tmp_path: Path, frame: pd.DataFrame, options: dict[str, Any], message: str
) -> None:
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(UserError, match=message):
        load(tmp_path / "t.csv", **options)


def test_dates_and_lists_of_a_parquet_file_are_refused(tmp_path: Path) -> None:
    for kind, values in (("dates", pd.date_range("2020-01-01", periods=40)), ("lists", [[1, 2]] * 40)):
        numbered(y=values).to_parquet(tmp_path / "t.parquet")
        with pytest.raises(UserError, match=f"column 'y' holds {kind}; expected numbers or categories"):
            load(tmp_path / "t.parquet")


def test_test_rows_must_have_the_columns_of_the_training_rows(tmp_path: Path) -> None:
    spec = split(numbered(), tmp_path)
    numbered().drop(columns="x").to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(UserError, match="has no column 'x'"):
        load(**spec)
    numbered(x="many").to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(UserError, match="column 'x' holds numbers in training, but not here"):
        load(**spec)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read: No columns"),
        (b"x,income\n", "has 0 rows; expected at least 2"),
        (b"x,income\n1,a,3\n2,b\n", "cannot be read: "),
        (b"x,income\n1,a\n2,b,3\n", "cannot be read: .*Expected 2 fields in line 3, saw 3"),
        ("x,income\n1,caf\xe9\n2,b\n".encode("latin-1"), "t.csv is not UTF-8 .*save it as UTF-8"),
        ("x,income\n1,a\n2,b\n".encode("utf-16"), "t.csv is not UTF-8"),
        (b'x,income\n1,"a\n2,b\n', "cannot be read: .*EOF inside string"),
    ],
)
def test_files_that_are_no_table_are_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        load(tmp_path / "t.csv")
    assert "\n" not in str(error.value)
