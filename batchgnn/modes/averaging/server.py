"""Steps on the whole graph that follow a mean (LLCG), by all ranks together.

Ramezani, Cong, Mahdavi et al., "Learn Locally, Correct Globally: A Distributed Algorithm for
Training Graph Neural Networks", arXiv:2111.08202, whose server is one machine with all edges.
"""

from dataclasses import replace

from batchgnn.modes.averaging.options import Trainers
from batchgnn.modes.macrobatch.mode import MacrobatchMode
from batchgnn.modes.share import Share
from batchgnn.settings.settings import Settings
from batchgnn.store.mode_state import ModeState


def settings_of_server(settings: Settings) -> Settings:
    """One minibatch at a time: what trainers prepared ahead is let go, and is prepared again."""
    return settings.replace(macrobatch=1, overlap=False, feature_cache=None)


class Server:
    """Passes over all seeds and edges, some steps a round, by an optimiser of their own.

    at  the pass, and the step in it, that come next
    """

    def __init__(self, engine: MacrobatchMode, num_steps: int):
        """engine: on all ranks and edges; num_steps: of a round."""
        self.engine, self.num_steps = engine, num_steps
        self.at = 0, 0

    def correct(self) -> bool:
        """Take the steps of a round; whether all were finite. Collective over all ranks."""
        engine, is_finite = self.engine, True
        for _ in range(self.num_steps):
            number, step = self.at
            shuffled = engine.schedule.shuffled(number)
            (minibatch,) = engine.prepare(number, range(step, step + 1), shuffled)
            is_finite &= engine.train(number, minibatch).words.is_finite
            is_last = step + 1 == engine.num_steps
            self.at = (number + 1, 0) if is_last else (number, step + 1)
        return is_finite

    def keep(self, state: ModeState) -> None:
        """Put moments, the same on every rank, and place into a state."""
        optimizer = self.engine.optimizer
        state.replicated |= {f"server_{name}": each for name, each in optimizer.arrays.items()}
        state.scalars |= self._place()

    def load(self, state: ModeState) -> None:
        """Go on from what `keep` put there."""
        optimizer = self.engine.optimizer
        for name, array in optimizer.arrays.items():
            array[:] = state.replicated[f"server_{name}"]
        number, step, optimizer.steps = (int(state.scalars[name]) for name in self._place())
        self.at = number, step

    def _place(self) -> dict[str, int]:
        number, step = self.at
        return {
            "server_pass": number,
            "server_step": step,
            "server_optimizer_steps": self.engine.optimizer.steps,
        }


def make_server(share: Share) -> Server | None:
    """The server of the settings, if there is one; collective."""
    if not (num_steps := share.settings[Trainers].num_server_steps):
        return None
    settings = settings_of_server(share.settings)
    return Server(MacrobatchMode(replace(share, settings=settings)), num_steps)
