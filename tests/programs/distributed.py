"""Train with one process of several: `python distributed.py RANK WORLD FILE OUTPUT`, the rendezvous by FILE."""

import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from spinray.training import Checkpoint, Config, fit


def problem():
    torch.manual_seed(0)
    x = torch.randn(26, 3, dtype=torch.float64)
    network = torch.nn.Sequential(torch.nn.Linear(3, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1)).double()
    return network, (x, x.prod(1, keepdim=True))


def train(network, data, **more):
    config = Config(epochs=3, batch_size=8, learning_rate=0.05, schedule="plateau", patience=9, clip_norm=0.5)
    return fit(network, data, torch.nn.functional.mse_loss, config, validation=data, progress=False, **more)


def main(rank, world, rendezvous, output):
    rank, world, output = int(rank), int(world), Path(output)
    dist.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world, timeout=timedelta(seconds=120)
    )
    network, data = problem()
    history = train(DistributedDataParallel(network), data, callbacks=[Checkpoint(output / "run.pt")])
    torch.save((network.state_dict(), history.epochs), output / f"formed{rank}.pt")

    # A loader that shares the samples out by itself.
    network, data = problem()
    samples = TensorDataset(*data)
    loader = DataLoader(samples, batch_size=4, sampler=DistributedSampler(samples, shuffle=True, drop_last=True))
    train(DistributedDataParallel(network), loader)
    torch.save(network.state_dict(), output / f"given{rank}.pt")
    try:
        fit(DistributedDataParallel(network), data, torch.nn.functional.mse_loss, Config(seconds=1.0))
    except ValueError as error:
        (output / f"error{rank}").write_text(str(error))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
