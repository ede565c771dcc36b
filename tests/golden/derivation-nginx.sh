set -eu
printf '==> %s\n' unpack
(
cd /build/src
cp -R --preserve=timestamps,links /sources/main/. .
chmod -R u+w .
)
printf '==> %s\n' patch
(
cd /build/src
echo /sources/debian/debian/patches/a.patch
patch -p1 --fuzz=0 --no-backup-if-mismatch --batch --forward -i '/sources/debian/debian/patches/a.patch'
echo /sources/debian/debian/patches/c.patch
patch -p0 --fuzz=0 --no-backup-if-mismatch --batch --forward -i '/sources/debian/debian/patches/c.patch'
)
printf '==> %s\n' modules
(
cd /build/src
export CFLAGS=-O2
cp -R --no-preserve=mode /usr/src/module ../module-4
)
printf '==> %s\n' configure
(
cd /build/src
export CFLAGS=-O2
./configure --with-zlib=/usr/lib/zlib-1.3.1 --builddir=nginx-1.26.3 --add-module=../module-4
)
printf '==> %s\n' build
(
cd /build/src
export CFLAGS=-O2
make
)
printf '==> %s\n' install
(
cd /build/src
export CFLAGS=-O2
make install DESTDIR="$OUT"
)
printf '==> %s\n' strip
(
cd /build/src
export CFLAGS=-O2
find "$OUT" -type f ! -name '*.a' ! -name '*.o' ! -path '*/usr/lib/debug/*' | sort | while read -r file; do
    case "$(head -c 4 "$file" | od -An -tx1)" in *'7f 45 4c 46'*) ;; *) continue ;; esac
    debug="$OUT/usr/lib/debug${file#"$OUT"}.debug"
    mkdir -p "${debug%/*}"
    chmod u+w "$file"
    objcopy --only-keep-debug "$file" "$debug"
    chmod a-x "$debug"
    strip --strip-all "$file"
    objcopy --add-gnu-debuglink="$debug" "$file"
done
)
