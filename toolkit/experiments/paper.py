"""The paper's own numbers, in percent: tables 1 to 5 of Tritrong et al. 2021 (arXiv:2103.04379), CVPR 2021.

Photographs at 1024 pixels: CelebAMask-HQ for tables 1 to 3, PASCAL-Parts for 4 and 5.
"""

# (network, shots) -> weighted IoU by number of classes.
TABLE1 = {
    ("cnn-l", 1): {3: 71.7, 10: 77.9},
    ("cnn-l", 5): {3: 82.1, 10: 83.9},
    ("cnn-l", 10): {3: 83.5, 10: 85.2},
    ("mlp", 1): {3: 75.3, 10: 74.1},
    ("mlp", 5): {3: 77.8, 10: 79.6},
    ("mlp", 10): {3: 77.2, 10: 77.2},
}

TABLE2 = {
    "10-shot": {
        "weighted": 85.2,
        "background": 84.2,
        "face": 90.0,
        "hair": 79.2,
        "eyes": 74.0,
        "eyebrows": 63.1,
        "nose": 82.9,
        "mouth": 84.6,
        "ears": 27.0,
        "neck": 73.6,
        "clothes": 23.6,
    },
    "auto-shot": {
        "weighted": 84.5,
        "background": 84.7,
        "face": 90.0,
        "hair": 84.0,
        "eyes": 75.4,
        "eyebrows": 68.2,
        "nose": 84.6,
        "mouth": 86.5,
        "ears": 37.3,
        "neck": 72.8,
        "clothes": 15.5,
    },
}

TABLE3 = {
    1: {"weighted": 71.7, "eyes": 57.8, "mouth": 71.1, "nose": 76.0},
    5: {"weighted": 82.1, "eyes": 73.6, "mouth": 84.0, "nose": 82.1},
    10: {"weighted": 83.5, "eyes": 75.9, "mouth": 85.3, "nose": 82.7},
}

TABLE4 = {
    "CNN [48]": {
        "body": 73.4,
        "plate": 41.7,
        "light": 42.2,
        "wheel": 66.3,
        "window": 61.0,
        "background": 67.4,
        "mean": 58.7,
    },
    "CNN+CRF [48]": {
        "body": 75.4,
        "plate": 35.8,
        "light": 36.1,
        "wheel": 64.3,
        "window": 61.8,
        "background": 68.7,
        "mean": 57.0,
    },
    "auto-shot": {
        "body": 75.5,
        "plate": 17.8,
        "light": 29.3,
        "wheel": 57.2,
        "window": 62.4,
        "background": 70.7,
        "mean": 52.2,
    },
    "OMPS [62], no background": {
        "body": 86.3,
        "plate": 50.5,
        "light": 55.1,
        "wheel": 75.5,
        "window": 65.2,
        "mean": 66.5,
    },
    "auto-shot, no background": {
        "body": 76.4,
        "plate": 17.5,
        "light": 29.3,
        "wheel": 52.5,
        "window": 64.1,
        "mean": 47.9,
    },
}

TABLE5 = {
    "Shape+Appearance [53]": {"head": 47.2, "neck+torso": 66.7, "legs": 38.2},
    "CNN+CRF [48]": {"head": 55.0, "neck": 34.2, "torso": 52.4, "legs": 46.8, "tail": 37.2, "background": 76.0},
    "auto-shot": {"head": 50.1, "neck+torso": 70.5, "legs": 49.6, "tail": 19.9, "background": 81.6},
}

# Plain mean IoU of one shot on PASCAL-Part at 512 pixels, by features of DINOv2 and Stable Diffusion: OIParts, as
# reported by SMITE (Alimohammadi et al. 2024, arXiv:2410.18538).
OIPARTS = {"car": 65.2, "horse": 66.9}
