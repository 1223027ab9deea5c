"""Unpack the ELF kernel inside a bzImage: extract-vmlinux.py BZIMAGE OUT

QEMU boots an ELF kernel directly (PVH), which under emulation is several seconds faster than letting the
bzImage decompress itself. The payload starts at the magic number of its compressor."""
import lzma
import subprocess
import sys
import zlib


def unpack(name, data):
    if name == "xz":
        return lzma.LZMADecompressor().decompress(data)
    if name == "gzip":
        return zlib.decompressobj(31).decompress(data)
    return subprocess.run(["zstd", "-dqc"], input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False).stdout


MAGIC = ((b"\xfd7zXZ\x00", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\x1f\x8b\x08", "gzip"))


def main():
    with open(sys.argv[1], "rb") as f:
        image = f.read()
    for magic, name in MAGIC:
        at = image.find(magic)
        while at >= 0:
            try:
                kernel = unpack(name, image[at:])
            except (lzma.LZMAError, zlib.error):
                kernel = b""
            if kernel[:4] == b"\x7fELF":
                with open(sys.argv[2], "wb") as f:
                    f.write(kernel)
                return 0
            at = image.find(magic, at + 1)
    return "no kernel found in " + sys.argv[1]


sys.exit(main())
