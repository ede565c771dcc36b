"""Figures of the gateway's pure modules (document, rule, index), inside nginx with the compiler of LuaJIT on.

    python bench/gateway/matching.py --nginx /usr/local/openresty/nginx/sbin/nginx [--lua lua] [--rules 1,10000,100000]

Prints, for each number of rules of policy.py: how long it takes to split the policy, to parse its rules, to index them and to
find one, and the memory of rules and index. Least of seven rounds; every found rule is checked.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUESTS = "500"

CONFIGURATION = """
daemon off;
master_process off;
pid matching.pid;
error_log stderr warn;
env POLICIES;
env REQUESTS;
events {{}}
http {{
    access_log off;
    client_body_temp_path temporary;
    proxy_temp_path temporary;
    fastcgi_temp_path temporary;
    uwsgi_temp_path temporary;
    scgi_temp_path temporary;
    lua_package_path "{lua}/?.lua;;";
    init_worker_by_lua_block {{
        local ok, err = xpcall(dofile, debug.traceback, "{script}")
        if not ok then
            io.stderr:write(tostring(err), "\\n")
        end
        io.stdout:flush()
        os.exit(ok and 0 or 1)
    }}
}}
"""


def generate(path: Path, *arguments: str) -> Path:
    with path.open("wb") as file:
        subprocess.run([sys.executable, str(HERE / "policy.py"), *arguments], check=True, stdout=file)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nginx", type=Path, required=True)
    parser.add_argument("--lua", type=Path, default=HERE.parent.parent / "lua", help="folder that has gateway/ in it")
    parser.add_argument("--rules", default="1,10000,100000")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counts = arguments.rules.split(",")
        policies = [generate(folder / f"{count}.json", "--rules", count) for count in counts]
        requests = [generate(folder / f"{count}.tsv", "--rules", count, "--requests", REQUESTS) for count in counts]
        configuration = folder / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(lua=arguments.lua.resolve(), script=HERE / "matching.lua"))
        environment = {**os.environ, "POLICIES": " ".join(map(str, policies)), "REQUESTS": " ".join(map(str, requests))}
        command = [str(arguments.nginx), "-p", str(folder), "-e", "stderr", "-c", str(configuration)]
        sys.exit(subprocess.run(command, env=environment, check=False).returncode)


if __name__ == "__main__":
    main()
