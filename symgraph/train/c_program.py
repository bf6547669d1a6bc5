"""The C program that runs the exported classifier, and running it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np

from symgraph.errors import ExportError

SOURCE = """\
/* Prints the digit in each image, one a line, by the model that symgraph compiled.
 *
 *     cc -O2 digits_main.c digits.o -o digits && ./digits images.f32
 *
 * images.f32: 64 float32 an image, in this machine's byte order. Neither a library nor Python is needed.
 */
#include <stdio.h>
#include <stdlib.h>
#include "digits.h"

enum { PIXELS = 64, CLASSES = 10 };

/* All floats of a file, and how many images they are; NULL where it cannot be read. */
static float *read_images(const char *path, int64_t *count)
{
    FILE *file = fopen(path, "rb");
    long bytes = -1;
    float *images = NULL;
    if (file && fseek(file, 0, SEEK_END) == 0 && (bytes = ftell(file)) > 0) {
        rewind(file);
        images = malloc((size_t)bytes);
        if (images && fread(images, 1, (size_t)bytes, file) != (size_t)bytes) {
            free(images);
            images = NULL;
        }
    }
    if (file)
        fclose(file);
    *count = bytes / (long)(PIXELS * sizeof(float));
    return images;
}

static int most_likely(const float *probabilities)
{
    int best = 0;
    for (int i = 1; i < CLASSES; i++)
        if (probabilities[i] > probabilities[best])
            best = i;
    return best;
}

int main(int argc, char **argv)
{
    int64_t count = 0;
    float *images = argc == 2 ? read_images(argv[1], &count) : NULL;
    if (!images) {
        fprintf(stderr, "usage: %s images.f32\\n", argv[0]);
        return 2;
    }
    float *probabilities = malloc((size_t)count * CLASSES * sizeof(float));
    /* aligned_alloc wants a size that is a multiple of the alignment. */
    size_t bytes = digits_workspace_bytes(count);
    size_t rounded = (bytes / DIGITS_WORKSPACE_ALIGN + 1) * DIGITS_WORKSPACE_ALIGN;
    void *workspace = aligned_alloc(DIGITS_WORKSPACE_ALIGN, rounded);
    if (!probabilities || !workspace) {
        fprintf(stderr, "out of memory\\n");
        return 1;
    }
    int32_t code = digits_run(images, probabilities, count, workspace, bytes);
    if (code != DIGITS_OK) {
        fprintf(stderr, "digits_run: %s\\n", digits_strerror(code));
        return 1;
    }
    for (int64_t i = 0; i < count; i++)
        printf("%d\\n", most_likely(probabilities + i * CLASSES));
    free(workspace);
    free(probabilities);
    free(images);
    return 0;
}
"""


def compiler() -> str | None:
    """The C compiler to use, CC's if that is set; None where there is none."""
    names = [os.environ.get("CC") or "cc", "gcc", "clang"]
    return next((path for name in names if (path := shutil.which(name))), None)


def predictions(folder: Path, images: np.ndarray, cc: str) -> np.ndarray:
    """Compiles digits_main.c with the digits.o beside it and runs it. Raises ExportError if either fails."""
    source, program, data = (folder / name for name in ("digits_main.c", "digits", "images.f32"))
    source.write_text(SOURCE)
    data.write_bytes(np.ascontiguousarray(images, np.float32).tobytes())
    _run([cc, "-std=c11", "-O2", str(source), str(folder / "digits.o"), "-o", str(program)])
    lines = _run([str(program), str(data)]).split()
    return np.array(lines, np.int64)


def _run(command: list[str]) -> str:
    """What a command prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise ExportError(f"{' '.join(command)} failed with {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout
