"""Writes Tests/Fixtures/evaluation/sequence.json: numbers, and the running confidence intervals of their mean by theorem 2 of
Waudby-Smith and Ramdas (2023), in numpy, with the authors' own package beside it where it is there.

    write_sequence.py OUTPUT [CONFSEQ/src]
"""

import json
import sys

import numpy as np


def intervals(x, error=0.05):
    t = np.arange(1, len(x) + 1)
    mean = (0.5 + np.cumsum(x)) / (t + 1)
    before = np.append(0.5, mean[:-1])
    variance = (0.25 + np.cumsum((x - mean) ** 2)) / (t + 1)
    earlier = np.append(0.25, variance[:-1])
    bet = np.minimum(np.sqrt(2 * np.log(2 / error) / (earlier * t * np.log(1 + t))), 0.5)
    # v ψ_E, of which the fours cancel.
    cost = np.cumsum((x - before) ** 2 * (-np.log(1 - bet) - bet))
    middle, reach = np.cumsum(bet * x) / np.cumsum(bet), (np.log(2 / error) + cost) / np.cumsum(bet)
    return np.maximum.accumulate(np.maximum(middle - reach, 0)), np.minimum.accumulate(np.minimum(middle + reach, 1))


def main():
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.choice([0, 0.5, 1], 600, p=[0.05, 0.8, 0.15]), rng.random(400)])
    lower, upper = intervals(x)
    if len(sys.argv) > 2:
        sys.path.insert(0, sys.argv[2])
        np.float_ = np.float64  # which it still asks for
        from confseq.predmix import predmix_empbern_cs

        theirs = predmix_empbern_cs(x, running_intersection=True)
        print("ours", lower[-1], upper[-1], "theirs", theirs[0][-1], theirs[1][-1])
    with open(sys.argv[1], "w") as file:
        json.dump({"values": x.tolist(), "intervals": [[a, b] for a, b in zip(lower, upper)]}, file)


if __name__ == "__main__":
    main()
