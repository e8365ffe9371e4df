import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements(name: str) -> list[str]:
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


setup(
    name='mmseg-semi',
    version=re.search(r"'(.+)'", (ROOT / 'mmseg_semi' / 'version.py').read_text())[1],
    description='Semi-supervised training for any MMSegmentation segmentor',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10,<3.13',
    packages=find_packages(include=['mmseg_semi', 'mmseg_semi.*']),
    include_package_data=True,
    install_requires=requirements('runtime'),
    extras_require={name: requirements(name) for name in ('analysis', 'onedl', 'openmmlab', 'robustness', 'tests')},
    classifiers=[
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
