"""The benchmarked models in PyTorch, with the same layers and number of parameters."""

import torch
from torch import nn
from torch.nn import functional as F


class WideBlock(nn.Module):
    def __init__(self, inputs, channels, stride, activate_first):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.stride, self.activate_first = stride, activate_first

    def forward(self, x):
        y = F.relu(self.norm1(x))
        shortcut = y if self.activate_first else x
        y = self.conv2(F.relu(self.norm2(self.conv1(y))))
        if self.stride > 1:
            shortcut = F.avg_pool2d(shortcut, self.stride)
        missing = y.shape[1] - shortcut.shape[1]
        return y + (F.pad(shortcut, (0, 0, 0, 0, 0, missing)) if missing else shortcut)


def wide_resnet(depth, width):
    layers, inputs = [nn.Conv2d(3, 16, 3, 1, 1, bias=False)], 16
    for group in range(3):
        channels = 16 * width * 2**group
        for index in range((depth - 4) // 6):
            stride = 2 if group and index == 0 else 1
            layers.append(WideBlock(inputs, channels, stride, group == index == 0))
            inputs = channels
    layers += [nn.BatchNorm2d(inputs), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(inputs, 10))


class BasicBlock(nn.Module):
    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, channels, 3, stride, 1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1),
            nn.BatchNorm2d(channels),
        )
        self.shortcut = nn.Identity()
        if stride > 1 or inputs != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, channels, 1, stride), nn.BatchNorm2d(channels)
            )

    def forward(self, x):
        return F.relu(self.branch(x) + self.shortcut(x))


class Bottleneck(nn.Module):
    def __init__(self, inputs, channels, stride):
        super().__init__()
        outputs = 4 * channels
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        return F.relu(self.branch(x) + self.shortcut(x))


def resnet(block, depths, expansion, *, large_images):
    if large_images:
        layers, inputs = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)], 64
        layers.append(nn.MaxPool2d(3, 2, 1))
    else:
        layers, inputs = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)], 16
    for stage, depth in enumerate(depths):
        channels = 64 * 2**stage
        for index in range(depth):
            layers.append(block(inputs, channels, 2 if stage and index == 0 else 1))
            inputs = expansion * channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))


class ViTBlock(nn.Module):
    def __init__(self, width, mlp, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, mlp), nn.Linear(mlp, width)
        self.drop, self.heads = nn.Dropout(0.1), heads

    def forward(self, x):
        images, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(images, tokens, 3, self.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        dropout = 0.1 if self.training else 0.0
        y = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        x = x + self.drop(self.out(y.transpose(1, 2).reshape(images, tokens, width)))
        y = self.drop(F.gelu(self.up(self.norm2(x)), approximate="tanh"))
        return x + self.drop(self.down(y))


class ViT(nn.Module):
    def __init__(self, width, mlp, heads, depth, patch=4, side=32):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, (side // patch) ** 2 + 1, width))
        self.drop = nn.Dropout(0.1)
        self.blocks = nn.Sequential(*(ViTBlock(width, mlp, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, 10)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        x = self.blocks(self.drop(x + self.positions))
        return self.head(self.norm(x)[:, 0])


class SwinBlock(nn.Module):
    """Attention in windows; inputs are batch x height x width x channels with equal sides."""

    def __init__(self, width, heads, side, shifted, window=7):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.biases = nn.Parameter(0.02 * torch.randn((2 * window - 1) ** 2, heads))
        self.heads, self.window = heads, window
        self.shift = window // 2 if shifted and side > window else 0
        rows, columns = torch.cartesian_prod(torch.arange(window), torch.arange(window)).T
        down, right = (x[:, None] - x + window - 1 for x in (rows, columns))
        self.register_buffer("pairs", (2 * window - 1) * down + right)
        # Patches that are adjacent only because of the roll do not attend to each other.
        edges = torch.tensor([side - window, side - self.shift])
        band = torch.bucketize(torch.arange(side), edges, right=True)
        regions = self.to_windows((3 * band[:, None] + band)[None, :, :, None])[:, None, :, 0]
        self.register_buffer("apart", -100.0 * (regions[..., None] != regions[..., None, :]))

    def to_windows(self, x):
        images, side, _, width = x.shape
        x = x.view(images, side // self.window, self.window, -1, self.window, width)
        return x.transpose(2, 3).reshape(-1, self.window**2, width)

    def forward(self, x):
        y = self.to_windows(self.norm1(x).roll((-self.shift, -self.shift), (1, 2)))
        qkv = self.qkv(y).view(*y.shape[:2], 3, self.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mask = self.biases[self.pairs].permute(2, 0, 1)[None]
        if self.shift:
            mask = (mask + self.apart).repeat(len(x), 1, 1, 1)
        dropout = 0.1 if self.training else 0.0
        y = F.scaled_dot_product_attention(query, key, value, mask, dropout_p=dropout)
        y, windows = self.out(y.transpose(1, 2).flatten(2)), x.shape[1] // self.window
        y = y.view(len(x), windows, windows, self.window, self.window, -1)
        y = y.transpose(2, 3).reshape(x.shape)
        x = x + y.roll((self.shift, self.shift), (1, 2))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Merging(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width, False)

    def forward(self, x):
        images, side, _, width = x.shape
        x = x.view(images, side // 2, 2, side // 2, 2, width).permute(0, 1, 3, 4, 2, 5)
        return self.reduction(self.norm(x.reshape(images, side // 2, side // 2, 4 * width)))


class Swin(nn.Module):
    def __init__(self, side, width=96, depths=(2, 2, 6, 2), heads=(3, 6, 12, 24), patch=4):
        super().__init__()
        self.patches, side = nn.Conv2d(3, width, patch, patch), side // patch
        layers = [nn.LayerNorm(width)]
        for stage, depth in enumerate(depths):
            if stage:
                layers.append(Merging(width))
                width, side = 2 * width, side // 2
            layers += [
                SwinBlock(width, heads[stage], side, index % 2 == 1) for index in range(depth)
            ]
        self.blocks = nn.Sequential(*layers, nn.LayerNorm(width))
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        return self.head(self.blocks(self.patches(x).permute(0, 2, 3, 1)).mean((1, 2)))


# Name -> function that creates the model for an image size.
MODELS = {
    "WideResNet_10_1": lambda side: wide_resnet(10, 1),
    "WideResNet_16_4": lambda side: wide_resnet(16, 4),
    "WideResNet_28_10": lambda side: wide_resnet(28, 10),
    "ResNet18": lambda side: resnet(BasicBlock, (2, 2, 2, 2), 1, large_images=side > 64),
    "ResNet50": lambda side: resnet(Bottleneck, (3, 4, 6, 3), 4, large_images=side > 64),
    "ViT_TI16": lambda side: ViT(192, 768, 3, 12, side=side),
    "ViT_S16": lambda side: ViT(384, 1536, 6, 12, side=side),
    "Swin_Tiny_224": Swin,
}
