"""Comparisons of recipes (`finetune.py --compare`) on the page: their section, beside published figures."""

from keras_cnn.analysis.recipes import FOLDER, MEASURES, RecipeRuns, read_recipes, summary
from keras_cnn.analysis.recipes_section import NAME, SHORT, TITLE, measure_text, recipes_section
from keras_cnn.analysis.run_tables import RunTable, Swept
from keras_cnn.analysis.sections import PageSection
from keras_cnn.charts import TextTable
from keras_cnn.errors import InputError
from keras_cnn.report import published
from keras_cnn.run_folder.record import read_record


def recipe_sections(table: RunTable | None) -> list[PageSection]:
    """The section about a comparison; an empty list for other tables."""
    swept = table.swept if table else None
    if swept is None or not (swept.folder / FOLDER).is_dir():
        return []
    try:
        recipes = read_recipes(swept.folder, swept.sweep, swept.trials)
        return [recipes_section(recipes, *_printed(swept, recipes))]
    except InputError as error:
        return [PageSection(NAME, TITLE, SHORT, warnings=(f"Not shown: {error}.",))]


def _printed(swept: Swept, recipes: RecipeRuns) -> tuple[TextTable | None, list[str]]:
    """The published figures of these recipes beside the measured ones, and what a verdict would require."""
    measured = {cell["recipe"]: cell for cell in summary(recipes.runs, recipes.factors).to_dict("records")}
    first = recipes.runs.drop_duplicates("recipe")
    rows, needs = [], []
    for recipe, run in zip(first["recipe"], first["run"], strict=True):
        for name, figures in published.of_the_same_recipe(read_record(swept.folder / run)).items():
            needs += [figure.needs for figure in figures if figure.needs]
            rows += [
                (
                    recipe,
                    name,
                    figure.label,
                    f"{figure.value:g}",
                    measure_text(measured[recipe], figure.figure, plain=True),
                )
                for figure in figures
                if figure.figure in MEASURES
            ]
    head = ("recipe", "experiment", "figure", "printed", "measured")
    return (TextTable(head, tuple(rows)) if rows else None), list(dict.fromkeys(needs))
