"""Trees of real archives against digests that were measured elsewhere, with another program, and written down."""

from pathlib import Path

import pytest

from builder.fetch import Fetcher, Mirrors, Wanted
from builder.progress.reporter import NullReporter
from builder.recipe.source import Source
from builder.store import Store

# path below a Debian mirror, SHA-256 of the file, NAR digest of what it unpacks to without its top folder
TREES = [
    ("n/nginx/nginx_1.26.3.orig.tar.gz",
     "69ee2b237744036e61d24b836668aad3040dda461fe6f570f1787eab570c75aa", "sha256-eQFhcNyomqfkMxDtfDid6TY9nxIDyA6lrbrPomU7Ie0="),
    ("libn/libnginx-mod-http-ndk/libnginx-mod-http-ndk_0.3.4.orig.tar.gz",
     "14a28063294f645d457b1eb10e3c23bbba44398f1c5f021421b58b6f8ab31662", "sha256-SXQ5KC8X9nKLbntXjEziCqJVeiX+lnBKruAVVVcexaM="),
    ("libn/libnginx-mod-http-lua/libnginx-mod-http-lua_0.10.28.orig.tar.gz",
     "634827d54de6216cb0502d14f76610788b3a3e33160e91d5578d6db0d9a34a20", "sha256-GT1PpJWpEu5EciK4n9ZDz1gIU/ZdC/SAsIdu0niQy8o="),
    ("l/luajit/luajit_2.1.0+openresty20250117.orig.tar.xz",
     "99ad5fdfa85e08a291454f797f625fbb53f4d2129cac063922255a1fe34ccf1c", "sha256-L6tnXVG2UA8TeearNg6HOi9jCQt7b4A8o8VDAFiPp94="),
    ("l/lua-resty-core/lua-resty-core_0.1.31.orig.tar.gz",
     "a8af7beadd43dd4758b7dc3c00e027dd3908e73f5bf0e08155a2c8954c5937c0", "sha256-WUiBFJ8L8NzSGoEwTAw/iHAzPqJqaOUSFyqGeEf+f94="),
    ("l/lua-resty-lrucache/lua-resty-lrucache_0.15.orig.tar.gz",
     "adcbb1a95cc2ba2a484351bd1116619a4fb42f0856da220d2897876d472c6ce1", "sha256-G2l4Zo9Xm/m4zRfxrgzEvRE5LMO+UuX3kd7FwlCnxDA="),
    ("l/lua-cjson/lua-cjson_2.1.0+dfsg.orig.tar.gz",
     "94f1fce36742cf00e99c5071b309b9f71e6e7daf60a7151f7bf4ac0a97259ac4", "sha256-1RM0oPyTxSTgvV53bTXJF9VGB/3wkcIb7EQGoUaPP/Y="),
    ("p/pcre2/pcre2_10.46.orig.tar.gz",
     "8d28d7f2c3b970c3a4bf3776bcbb5adfc923183ce74bc8df1ebaad8c1985bd07", "sha256-doOcdsoJKt7l+pt7yGESdf5q0r3phRDxHNGnneUKGWs="),
    ("z/zlib/zlib_1.3.dfsg+really1.3.1.orig.tar.gz",
     "60dd315c07f616887caa029408308a018ace66e3d142726a97db164b3b8f69fb", "sha256-Gkq493J++ZoQUWeiGer9cvJMJBfElXgiDh2X2r2CDHY="),
]  # fmt: skip


@pytest.mark.network
@pytest.mark.parametrize(("path", "sha256", "tree"), TREES, ids=[path.rsplit("/", 1)[1] for path, _, _ in TREES])
def test_the_tree_of_an_archive_is_the_one_that_was_measured(tmp_path: Path, path: str, sha256: str, tree: str) -> None:
    source = Source(locations=(f"mirror://debian/pool/main/{path}",), filename=path.rsplit("/", 1)[1], sha256=sha256)
    wanted = Wanted("archive", "1", source)
    with Store(str(tmp_path / "store")) as store:
        found = Fetcher(store, mirrors=Mirrors({}), reporter=NullReporter()).fetch([wanted])[wanted]
        assert found.tree == tree
        assert store.has_tree(tree)
