"""ResNet-18, with torchvision's names."""

import pytest
import torch

from spinray import nn


def test_weights_of_torchvision_load_and_scores_are_equal():
    models = pytest.importorskip("torchvision", reason="torchvision is not installed").models
    torch.manual_seed(0)
    theirs = models.resnet18(weights=None).eval()
    ours = nn.ResNet18().eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 64, 70)
    with torch.no_grad():
        found, wanted = ours(x), theirs(x)
    assert float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


def test_names_are_those_of_the_field():
    names = set(nn.ResNet18(1, 2).state_dict())
    assert {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "layer4.1.bn2.bias", "fc.bias"} <= names
    assert {name.split(".")[0] + name.split(".")[1] for name in names if "downsample" in name} == {
        "layer20",
        "layer30",
        "layer40",
    }
    assert len(names) == 122


def test_the_last_features_are_a_thirty_second_of_the_image_averaged():
    torch.manual_seed(0)
    network = nn.ResNet18(1, 4).eval()
    seen = []
    network.layer4.register_forward_hook(lambda module, inputs, output: seen.append(output.detach().clone()))
    scores = network(torch.randn(2, 1, 64, 96))
    assert seen[0].shape == (2, 512, 2, 3)
    assert torch.allclose(scores, network.fc(seen[0].mean((2, 3))), atol=1e-6)


def test_a_block_adds_its_input():
    torch.manual_seed(0)
    network = nn.ResNet18(1, 4).eval()
    block = network.layer1[0]
    torch.nn.init.zeros_(block.bn2.weight)
    h = torch.randn(1, 64, 8, 8)
    assert torch.equal(block(h), torch.relu(h))
    first = network.layer2[0]
    torch.nn.init.zeros_(first.bn2.weight)
    wanted = torch.nn.functional.conv2d(h[..., ::2, ::2], first.downsample[0].weight) / (1 + 1e-5) ** 0.5
    assert torch.allclose(first(h), torch.relu(wanted), atol=1e-5)


def test_convolutions_start_with_the_variance_of_he():
    torch.manual_seed(0)
    weight = nn.ResNet18().layer3[0].conv1.weight
    assert float(weight.detach().var()) == pytest.approx(2 / (9 * 256), rel=0.02)  # by what goes out, not the 128 in


def test_volumes_are_classified_too():
    torch.manual_seed(0)
    network, x = nn.ResNet18(1, 3, dim=3).eval(), torch.randn(2, 1, 16, 12, 20)
    with torch.no_grad():
        found = network(x)
        network.backend = "torch"
        wanted = network(x)
    assert found.shape == (2, 3)
    assert float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())
