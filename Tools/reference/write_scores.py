"""Writes Tests/Fixtures/evaluation/scores.json: answers of many kinds, and what the published scorers make of each.

    write_scores.py LLAVA LMMS_EVAL OUTPUT

LLAVA is a checkout of haotian-liu/LLaVA (`llava/eval`: POPE and ScienceQA), LMMS_EVAL an unpacked wheel of lmms_eval 0.7.3
(GQA's exact match, VQA accuracy, ChartQA, ANLS, MME). Their functions are called, or where they are scripts, the scripts are run.
Run by itself; needs numpy.
"""

import ast
import collections
import contextlib
import importlib.util
import io
import json
import pathlib
import random
import re
import string
import subprocess
import sys
import tempfile
import types

import numpy as np

WORDS = ("the a an cat Cat CAT dog two 2 three none no No not yes Yes red, blue. green? 3.5 1,000 it's its isnt don't dont "
         "hes'  woman's left-right up/down (maybe) A B C D. answer is. 12% 50 % hello! wouldve wouldnt've yall'll oclock "
         "thats thered 'ow'sat somebody'd ~ e.g. a.b 7. .5 théâtre Ärger straße").split(" ")


def module(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def functions(path, names):
    """Some functions of a module whose imports are not needed."""
    tree = ast.parse(pathlib.Path(path).read_text())
    wanted = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    for node in wanted:
        node.decorator_list = []
    space = {"np": np, "re": re, "string": string}
    exec(compile(ast.Module(wanted, []), str(path), "exec"), space)
    return [space[name] for name in names]


def phrase(rng, least=0, most=6):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(least, most)))


def vqa(rng, lmms):
    processor = module(lmms / "lmms_eval/tasks/_task_utils/vqa_eval_metric.py", "vqa").EvalAIAnswerProcessor()
    contractions = [(word, [processor.CONTRACTIONS[word]] * 10) for word in processor.CONTRACTIONS]
    contractions += [(f"it {word} so", [f"it {word} so"] * 4 + ["no"] * 6) for word in processor.CONTRACTIONS]
    contractions += [(word, [word.replace("'", "")] * 5 + ["no"] * 5) for word in processor.CONTRACTIONS.values()]
    for number in range(400 + len(contractions)):
        people = [phrase(rng, 1, 2) for _ in range(rng.randint(2, 4))]
        answers = [rng.choice(people) for _ in range(10)]
        said = rng.choice(people + [phrase(rng)])
        if number < len(contractions):
            said, answers = contractions[number]
        wanted, given = processor(said), [processor(answer) for answer in answers]
        # As textvqa_process_results has it.
        shares = [min(1.0, sum(other == wanted for j, other in enumerate(given) if j != i) / 3) for i in range(10)]
        yield said, answers, sum(shares) / 10


def exact(rng, lmms):
    (match,) = functions(lmms / "lmms_eval/api/metrics.py", ["exact_match_hf_evaluate"])
    for _ in range(300):
        right = phrase(rng, 1, 3)
        said = rng.choice([right, right.upper(), right + ".", phrase(rng, 1, 3), right.replace(" ", "")]).strip()
        yield said, [right], float(match([said], [right.strip()], ignore_case=True, ignore_punctuation=True)["exact_match"])


def anls(rng, lmms):
    _, score = functions(lmms / "lmms_eval/api/metrics.py", ["levenshtein_distance", "anls"])
    for _ in range(400):
        right = [phrase(rng, 1, 3) for _ in range(rng.randint(1, 3))]
        said = list(rng.choice(right))
        for _ in range(rng.randint(0, 5)):
            said.insert(rng.randrange(len(said) + 1), rng.choice("ab .E"))
            if rng.random() < 0.5:
                said.pop(rng.randrange(len(said)))
        said = "".join(said)
        yield said, right, float(score(right, [said])["anls"])


def relaxed(rng, lmms):
    (correct,) = functions(lmms / "lmms_eval/tasks/chartqa/utils.py", ["relaxed_correctness"])
    numbers = ["12", "12.5", "12.6", "13", "-4", "0", "0.0", "5%", "5.2%", "0.05", "1e3", "1000", "1,000", "abc", "Abc", "12 ", "",
               "%", "nan", "inf", "1_000", "+7", "7"]
    for said in numbers:
        for right in numbers:
            yield said, [right], float(correct(said, right))


def yes_no(rng, llava):
    judge = module(llava / "llava/eval/eval_pope.py", "pope").eval_pope
    for text in ["yes", "No", "no.", "Yes, it is.", "No, there is not.", "There is not a cat.", "Nothing", "not, sure", "NO", "yes. No.",
                 "I do not know", ". no", "", "no,", "Not at all"] + [phrase(rng) for _ in range(200)]:
        for right in ("yes", "no"):
            answers = [{"text": text}]
            with tempfile.NamedTemporaryFile("w", suffix=".json") as labels, contextlib.redirect_stdout(io.StringIO()):
                labels.write(json.dumps({"label": right}) + "\n")
                labels.flush()
                # It divides by what one question cannot have, after it has read the answer.
                with contextlib.suppress(ZeroDivisionError):
                    judge(answers, labels.name)
            yield text, [right], float(answers[0]["text"] == right)


def mme(rng, lmms):
    (parse,) = functions(lmms / "lmms_eval/tasks/mme/utils.py", ["parse_pred_ans"])
    for text in ["yes", "No", "no.", "Yes, it is.", "There is not a cat.", "Nothing", "y", "N", "x", "é", "", ".", "ye.s", " yes", "a yes", "an o", "not",
                 "known", "I know", "eyes", "YES!", "no, yes", "Y.", "..no"] + [phrase(rng) for _ in range(100)]:
        for right in ("Yes", "No", "no."):
            yield text, [right], float(parse(text) == right.lower().strip().replace(".", ""))


def mme_total(rng, lmms):
    (aggregate,) = functions(lmms / "lmms_eval/tasks/mme/utils.py", ["mme_aggregate_results"])
    aggregate.__globals__.update(defaultdict=collections.defaultdict, eval_logger=types.SimpleNamespace(info=lambda _: None))
    answers = [{"category": category, "question_id": f"{category}/{number}.png", "score": float(rng.random() < 0.7)}
               for category in ("count", "color", "OCR") for number in range(rng.randint(5, 20)) for _ in range(2)]
    rng.shuffle(answers)
    return {"answers": answers, "score": aggregate(answers)}


def choice(rng, llava):
    texts = ["A", "B", "E", "b", "A.", "A. cat", "B.cat", "C. ", "The answer is B.", "The answer is B", "The answer is D. Because",
             "The answer is A. The answer is B.", "So the answer is A.", "AB", "", "(A)", "The answer is C, I think", "B\ncat", "E. x",
             "A: cat", "The answer is A\n", "The answer is  A."]
    letters = "ABCDE"
    cases = [(text, right) for text in texts for right in letters]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        names = [str(n) for n in range(len(cases))]
        (folder / "pid_splits.json").write_text(json.dumps({"test": names}))
        problems = {name: {"choices": list(letters), "answer": letters.index(right)} for name, (_, right) in zip(names, cases)}
        (folder / "problems.json").write_text(json.dumps(problems))
        with open(folder / "answers", "w") as lines:
            for name, (text, _) in zip(names, cases):
                lines.write(json.dumps({"question_id": name, "prompt": "<image>", "text": text}) + "\n")
        subprocess.run(
            [sys.executable, llava / "llava/eval/eval_science_qa.py", "--base-dir", folder, "--result-file", folder / "answers",
             "--output-file", folder / "out", "--output-result", folder / "result", "--split", "test"],
            check=True, stdout=subprocess.DEVNULL)
        right = {item["question_id"] for item in json.loads((folder / "out").read_text())["correct"]}
    for name, (text, wanted) in zip(names, cases):
        yield text, [wanted], float(name in right)


def main():
    llava, lmms, output = (pathlib.Path(argument) for argument in sys.argv[1:4])
    rng = random.Random(2410)
    document = {
        "vqa": vqa(rng, lmms), "exact": exact(rng, lmms), "anls": anls(rng, lmms), "relaxed": relaxed(rng, lmms),
        "yes-no": yes_no(rng, llava), "choice": choice(rng, llava), "mme": mme(rng, lmms)}
    document = {name: [{"answer": said, "right": right, "score": round(score, 9)} for said, right, score in cases]
                for name, cases in document.items()}
    print({name: (len(cases), sum(case["score"] > 0 for case in cases)) for name, cases in document.items()})
    document["mme total"] = mme_total(rng, lmms)
    output.write_text(json.dumps(document, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
