"""The page in a real headless Chromium: what a reader does with it, from a file and live."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from analysis import load_results
from analysis.report.figures import FIGURES, Panel, draw
from analysis.report.figures.axes import log_ticks
from analysis.report.html import write_report
from analysis.report.serve import LiveServer
from tests.helpers.chromium import Opener
from tests.helpers.pages import recipes
from tests.helpers.simulated_results import simulate


def drawn(page: Any) -> int:
    """How many points the front shows."""
    return int(page.evaluate("document.querySelectorAll('#panel-front .scatterlayer .point').length"))


def front_state(page: Any) -> dict[str, Any]:
    return dict(
        page.evaluate(
            """() => { const [points, line] = document.getElementById('panel-front').data;
            return {points: points.x.length, line: [line.x, line.y]}; }"""
        )
    )


def test_opens_from_a_file_with_every_recipe_and_its_front(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri())
    table = recipes(report)
    state = front_state(page)
    front = table[table["on_front"]].sort_values("lira_tpr_at_0.1pct")
    assert state["points"] == len(table)
    assert state["line"][0] == pytest.approx(front["lira_tpr_at_0.1pct"].tolist(), rel=1e-4)
    assert state["line"][1] == pytest.approx(front["test_accuracy"].tolist(), rel=1e-5)
    assert drawn(page) >= len(table)
    assert page.locator("#recipe-table tbody tr").count() == len(table)


def test_hovering_tells_the_whole_recipe(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri())
    page.evaluate("Plotly.Fx.hover('panel-front', [{curveNumber: 0, pointNumber: 0}])")
    page.wait_for_selector("#panel-front .hoverlayer .hovertext")
    shown = page.locator("#panel-front .hoverlayer .hovertext").first.text_content()
    (recipe_id, label), *_ = recipes(report)["label"].items()
    knobs = json.loads((report.parent / "manifest.json").read_text())["recipes"][recipe_id]
    assert label in shown
    for name, value in knobs.items():
        assert f"{name}={value}" in shown or f"{name} {value}" in shown or str(value) in label, name


def test_clicking_a_point_selects_it_and_drives_the_panels(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri())
    page.locator("#panel-memorization").scroll_into_view_if_needed()
    page.wait_for_selector("#panel-memorization .main-svg")
    before = page.evaluate("document.getElementById('panel-memorization').data[0].y")
    target = page.evaluate(
        """() => { const plot = document.getElementById('panel-front'), trace = plot.data[0];
        plot.scrollIntoView({block: 'center', behavior: 'instant'});
        const box = plot.getBoundingClientRect(), {xaxis, yaxis} = plot._fullLayout;
        const k = trace.ids.findIndex((id) => !state.selected.includes(id));
        return {id: trace.ids[k], label: labelOf(trace.ids[k]),
                x: box.left + xaxis._offset + xaxis.d2p(trace.x[k]),
                y: box.top + yaxis._offset + yaxis.d2p(trace.y[k])}; }"""
    )
    page.mouse.move(target["x"], target["y"])
    page.mouse.click(target["x"], target["y"])
    page.wait_for_function(f"state.selected[0] === '{target['id']}'")
    page.wait_for_function(
        "before => document.getElementById('panel-memorization').data[0].y.join() !== before",
        arg=",".join(map(str, before)),
    )
    assert target["id"] in page.url
    assert target["label"] in page.locator("#compare").inner_text()
    assert target["label"] in page.locator("#who-body").inner_text()


def test_the_keyboard_walks_and_compares(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri())
    page.locator("#panel-front").focus()
    first = page.evaluate("state.selected[0]")
    page.keyboard.press("ArrowRight")
    second = page.evaluate("state.selected[0]")
    page.keyboard.press("Shift+ArrowRight")
    pair = page.evaluate("state.selected")
    assert second != first
    assert pair[0] == second
    assert len(set(pair)) == 2
    page.locator("#recipe-table button.link").first.focus()
    page.keyboard.press("Enter")
    assert (
        page.evaluate("data.labels[place.get(state.selected[0])]")
        in page.locator("#recipe-table tbody tr").first.inner_text()
    )


def test_a_link_opens_what_it_names(report: Path, opened: Opener) -> None:
    one, other = recipes(report).index[[3, 7]]
    page = opened(f"{report.as_uri()}#recipe={one}&compare={other}&risk=rmia_auc")
    assert page.evaluate("state.selected") == [one, other]
    assert "RMIA AUC" in page.locator("#compare").inner_text()
    alone = opened(f"{report.as_uri()}#recipe={one}")
    assert alone.evaluate("state.selected[0]") == one


def test_filters_hide_recipes_and_draw_the_front_of_the_rest(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri())
    table = recipes(report)
    page.locator("label.chip", has=page.locator("input[data-knob=optimizer]")).filter(
        has_text="looksam"
    ).click()
    kept = table[table["optimizer"] != "looksam"]
    assert front_state(page)["points"] == len(kept)
    assert page.locator("#recipe-table tbody tr").count() == len(kept)
    best = front_state(page)["line"][1]
    assert best[-1] == pytest.approx(kept["test_accuracy"].max(), rel=1e-5)


def test_the_risk_menu_changes_axis_table_and_attack(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri())
    page.select_option("#risk-menu", "confidence_auc")
    page.wait_for_function(
        "document.getElementById('panel-front').layout.xaxis.title.text.includes('confidence AUC')"
    )
    assert front_state(page)["points"] == len(recipes(report))
    assert "confidence AUC" in page.locator("#recipe-table thead").inner_text()
    page.locator("#panel-roc").scroll_into_view_if_needed()
    page.wait_for_selector("#panel-roc .main-svg")
    assert page.get_attribute("#panel-roc", "aria-label").endswith(
        page.evaluate("state.selected.map(id => data.labels[place.get(id)]).join('. ')")
    )
    attacks = page.evaluate("document.getElementById('panel-roc').data.map(t => t.meta).filter(Boolean)")
    assert set(attacks) == {"confidence"}


def test_the_probability_to_be_on_the_front_is_the_chosen_risk_s(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri())
    table = pd.read_parquet(report.parent / "results/front_probabilities.parquet")
    shown = """() => Object.fromEntries([...document.querySelectorAll('#recipe-table tbody tr')].map(row =>
        [row.querySelector('button').textContent, parseFloat(row.cells[3].textContent)]))"""
    for risk in ("lira_tpr_at_0.1pct", "rmia_auc"):
        page.select_option("#risk-menu", risk)
        title = load_results(report.parent).tables.risk(risk).title
        page.wait_for_function(
            "t => document.querySelector('#recipes').innerText.includes(`(in ${t})`)", arg=title
        )
        of = table[table["risk"] == risk].set_index("recipe_id")["probability"] * 100
        expected = {label: of[recipe_id] for recipe_id, label in recipes(report)["label"].items()}
        assert page.evaluate(shown) == pytest.approx(expected, abs=0.051), "to a tenth of a percent"


def test_colour_shape_and_size_follow_any_knob(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri())
    page.select_option("#colour-menu", "train_seconds")
    page.select_option("#size-menu", "noise")
    page.select_option("#symbol-menu", "noise")
    marker = page.evaluate("document.getElementById('panel-front').data[0].marker")
    assert marker["showscale"] is True
    assert len(set(marker["size"])) > 1
    assert len(set(marker["symbol"])) > 1


def test_the_copy_button_copies_a_block_of_a_spec(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri(), permissions=["clipboard-read", "clipboard-write"])
    page.locator("#compare .slot .copy").first.click()
    page.wait_for_function("[...document.querySelectorAll('.copy')].some(b => b.textContent === 'Copied')")
    text = page.evaluate("navigator.clipboard.readText()")
    page.locator("nav a", has_text="Claims").click()
    page.locator("#compare .head .copy").click()
    page.wait_for_function("document.querySelector('#compare .head .copy').textContent === 'Copied'")
    chosen = page.evaluate("state.selected[0]")
    manifest = json.loads((report.parent / "manifest.json").read_text())
    assert yaml.safe_load(text) == [manifest["recipes"][chosen]]
    assert f"recipe={chosen}" in page.evaluate("navigator.clipboard.readText()")


def test_csv_has_every_recipe_and_risk(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri())
    with page.expect_download() as download:
        page.locator("#recipes button", has_text="CSV").click()
    rows = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    table = recipes(report)
    assert [row["recipe_id"] for row in rows] == table.index.tolist()
    found = [float(row["rmia_advantage_high"]) for row in rows]
    assert found == pytest.approx(table["rmia_advantage_high"].tolist(), rel=1e-4)
    for place, title in {"#claims": "claims", "#compare": "comparison", "#who": "memorized-"}.items():
        with page.expect_download() as download:
            page.locator(f"{place} button", has_text="CSV").first.click()
        assert download.value.suggested_filename.startswith(title)
        assert len(Path(download.value.path()).read_text().splitlines()) > 1


def test_sliders_answer_like_recommend(report: Path, opened: Opener) -> None:
    from analysis.recommend import recommend

    page = opened(report.as_uri())
    table = recipes(report).reset_index(drop=False)
    for bound in table["lira_tpr_at_0.1pct"].quantile([0.3, 0.7]):
        page.evaluate(
            """bound => { const slider = document.getElementById('by-risk-input'); slider.value = bound;
            slider.dispatchEvent(new Event('input')); }""",
            bound,
        )
        expected = recommend(
            table, max_risk={"lira_tpr_at_0.1pct": float(page.input_value("#by-risk-input"))}
        )
        assert expected.choice.label in page.locator("#by-risk .answer > div").inner_text()
    for bound in table["test_accuracy"].quantile([0.2, 0.8]):
        page.evaluate(
            """bound => { const slider = document.getElementById('by-accuracy-input'); slider.value = bound;
            slider.dispatchEvent(new Event('input')); }""",
            bound,
        )
        expected = recommend(table, min_accuracy=float(page.input_value("#by-accuracy-input")))
        answer = page.locator("#by-accuracy .answer")
        labels = [expected.choice.label, *(choice.label for choice in expected.following)]
        assert answer.locator("> div button, ol button").all_inner_texts() == labels
        assert " to " in answer.locator("p").first.inner_text(), "the intervals are told"


def test_every_claim_has_its_interval_and_its_verdict(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri())
    claims = pd.read_parquet(report.parent / "results/claims.parquet")
    rows = page.locator("#claims tbody tr").all_inner_texts()
    assert len(rows) == len(claims)
    for row, claim in zip(rows, claims.itertuples(), strict=True):
        assert claim.verdict in row
        assert f"{claim.low:+.3g} to {claim.high:+.3g}".replace("-", "−") in row
    assert "2 reproduced, 1 contradicted, 1 cannot tell" in page.locator("#claims-body h3").inner_text()


def test_the_first_screen_says_what_the_audit_could_not_do(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri())
    notes = json.loads((report.parent / "results/notes.json").read_text())["notes"]
    assert next(iter(notes.values()))[0] in page.locator("#caution").inner_text()


def test_three_objectives_colour_the_selected(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri())
    page.locator("#panel-objectives").scroll_into_view_if_needed()
    page.wait_for_function("document.getElementById('panel-objectives').data?.length")
    where = """() => { const [trace] = document.getElementById('panel-objectives').data;
        return state.selected.map(id => trace.line.color[trace.ids.indexOf(id)]); }"""
    assert page.evaluate(where) == [2, 3]
    page.locator("#recipe-table button.link").last.click()
    page.wait_for_function(f"({where})()[0] === 2")


def test_a_registered_figure_of_recipes_is_filtered_clicked_and_marked(
    tmp_path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    dots = {
        "type": "scatter",
        "mode": "markers",
        "recipes": "shown",
        "x": "$delta",  # a column that nothing else on the page shows
        "y": "$risk",
        "text": "$text",
        "marker": {"size": "$standing"},
        "hovertemplate": "%{text}<extra></extra>",
    }
    panel = Panel("mine", "Mine", "Dots.", {}, section="why", backdrop=lambda *_: [dots], size="tall")
    monkeypatch.setitem(FIGURES, "mine", panel)
    directory = simulate(tmp_path, 12)
    path = directory / "results/recipes.parquet"
    table = pd.read_parquet(path)
    table.assign(delta=range(len(table))).to_parquet(path)
    page = opened(Path(write_report(directory)).as_uri())
    trace = "document.getElementById('panel-mine').data[0]"
    assert page.evaluate(f"{trace}.x") == list(range(len(table)))
    page.evaluate("Plotly.Fx.hover('panel-mine', [{curveNumber: 0, pointNumber: 4}])")
    shown = page.locator("#panel-mine .hoverlayer .hovertext").first.text_content()
    assert table["label"][4] in shown
    page.evaluate(
        "document.getElementById('panel-mine').emit('plotly_click', {points: [{id: data.ids[4]}], event: {}})"
    )
    assert page.evaluate("state.selected[0]") == table["recipe_id"][4]
    assert page.evaluate(f"{trace}.marker.size[4]") == 2
    page.locator("label.chip", has_text="looksam").click()
    kept = [k for k, name in enumerate(table["optimizer"]) if name != "looksam"]
    assert page.evaluate(f"{trace}.x") == kept
    page.select_option("#risk-menu", "rmia_auc")
    page.wait_for_function(f"{trace}.text[0].includes('RMIA AUC')")
    assert page.evaluate(f"{trace}.y") == pytest.approx(table["rmia_auc"][kept].tolist(), rel=1e-4)


def test_the_script_and_python_draw_the_same_front(report: Path, opened: Opener) -> None:
    page = opened(f"{report.as_uri()}#recipe={recipes(report).index[2]}&risk=rmia_auc")
    drawn = draw("front", report.parent, [recipes(report)["label"].iloc[2]], risk="rmia_auc").data
    points, line, ahead, marks, chosen = page.evaluate("document.getElementById('panel-front').data")
    counted = len(recipes(report)["optimizer"].unique())
    parts = (drawn[:counted], drawn[counted : counted + 1], drawn[counted + 1 : -2], drawn[-2:-1], drawn[-1:])
    for mine, theirs in zip((points, line, ahead, marks, chosen), parts, strict=True):
        found = {(i, axis): v for axis in "xy" for i, v in zip(mine["ids"], mine[axis], strict=True)}
        expected = {
            (i, axis): v for t in theirs for axis in "xy" for i, v in zip(t.ids, t[axis], strict=True)
        }
        assert found == pytest.approx(expected)
    assert (marks["text"], marks["textposition"]) == (list(drawn[-2].text), list(drawn[-2].textposition))


def test_text_of_specs_and_data_stays_text(tmp_path: Path, opened: Opener) -> None:
    evil = "<script>window.broken = 1</script><img src=x onerror='window.broken = 1'>"
    directory = simulate(tmp_path, 6, name=evil)
    table = pd.read_parquet(directory / "results/recipes.parquet")
    table.loc[0, "label"] = evil
    table["optimizer"] = table["optimizer"].replace("sam", evil)
    table.to_parquet(directory / "results/recipes.parquet")
    page = opened(Path(write_report(directory)).as_uri())
    for panel in ("spread", "roc"):
        page.locator(f"#panel-{panel}").scroll_into_view_if_needed()
        page.wait_for_selector(f"#panel-{panel} .main-svg")
    page.locator("#recipe-table button.link", has_text="script").click()
    assert page.evaluate("window.broken") is None
    assert evil in page.locator("#name").inner_text()
    assert evil in page.locator("#compare").inner_text()


def test_a_link_keeps_the_filters(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri())
    page.locator("label.chip", has=page.locator("input[data-knob=optimizer]")).filter(
        has_text="looksam"
    ).click()
    kept = front_state(page)["points"]
    again = opened(page.url)
    assert front_state(again)["points"] == kept < len(recipes(report))
    assert not again.locator("label.chip", has_text="looksam").locator("input").is_checked()


def test_the_script_and_python_agree_on_ticks(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri())
    for low, high in [(1e-4, 1), (9.5, 13), (0.5, 40), (3.1, 3.2), (1e-5, 1e7), (0.011, 0.9)]:
        found = page.evaluate("([low, high]) => logTicks(low, high)", [low, high])
        assert found == pytest.approx(log_ticks(low, high))


def test_hidden_examples_are_not_on_the_page(tmp_path: Path, opened: Opener) -> None:
    page = opened(Path(write_report(simulate(tmp_path, 4, show_examples=False))).as_uri())
    assert "show_examples: false" in page.locator("#who-body").inner_text()
    assert page.locator("#who-body img").count() == 0


def test_one_recipe_without_any_neighbour_still_makes_a_page(tmp_path: Path, opened: Opener) -> None:
    directory = simulate(tmp_path, 1, images=False)
    for name in ("comparisons", "influence", "buckets", "claims", "history"):
        (directory / f"results/{name}.parquet").unlink()
    page = opened(Path(write_report(directory)).as_uri())
    page.locator("#panel-pairs").scroll_into_view_if_needed()
    assert "reference itself" in page.locator("#panel-pairs .empty").inner_text()
    assert page.locator("#panel-growth").count() == 0, "a figure of the sweep that shows nothing is left out"
    assert not page.locator("#claims").is_visible(), "the audit wrote no table of claims"
    assert front_state(page)["points"] == 1


def test_the_live_page_picks_up_new_records(smoke_sweep: Path, tmp_path: Path, opened: Opener) -> None:
    """One recipe's records are held back: the page shows the rest, then all of them once they land."""
    directory = tmp_path / "sweep"
    shutil.copytree(smoke_sweep, directory)
    shutil.rmtree(directory / "results")
    held = sorted((directory / "records").iterdir())[-1]
    held.rename(tmp_path / "held")
    with LiveServer(directory, 0, interval=0.2) as server:
        page = opened(server.url, allowed=server.url)
        page.wait_for_selector("#panel-front .main-svg")
        before, version = front_state(page)["points"], page.get_attribute("body", "data-ready")
        chosen = page.evaluate("state.selected[0]")
        (tmp_path / "held").rename(held)
        page.wait_for_function(f"document.body.dataset.ready !== '{version}'", timeout=120_000)
        assert page.evaluate("data.ids.length") == before + 1
        assert page.evaluate("state.selected[0]") == chosen
        assert "replicas" in page.locator("#live-text").inner_text()
