"""Runs Caffe's C++ tests, and goes on after one that ends the process."""

import concurrent.futures
import re
import shutil
import subprocess

TEST = re.compile(r"^(?:TYPED_)?TEST(?:_F)?\((\w+),", re.M)
# Suites over types and devices have the two types on the CPU, then on the GPU.
GPU_TEST = re.compile(r"GPU|Im2colKernelTest|CuDNN|/[23]\.")
RESULT = re.compile(r"\[ +(RUN|OK|FAILED) +\] ([\w/]+\.\w+)")
# They launch millions of kernels, too many under compute-sanitizer.
LONG_TESTS = (
    "ApproxDropoutLSTMStateTest/2.TestGradient",
    "SGDUpdaterTest/2.TestRegularizationAndMomentum",
)
# Together they run every kernel that has shared memory.
SHARED_MEMORY = re.compile(
    r"DeviceParameterGPUTest/0\."
    r"|ApproxDropout\w+Test/2\.Test(AgainstMasked|KeepsAndScales)"
)


def suites_of(folder):
    """Names of the suites in a folder's test_*.cpp, sorted, without the number
    that a suite over types has in each of its instances."""
    texts = [path.read_text() for path in folder.glob("test_*.cpp")]
    return sorted({suite for text in texts for suite in TEST.findall(text)})


def is_ours(name, ours):
    """Whether a test or a suite, "Suite/0.Test", is of these suites."""
    return re.split("[/.]", name)[0] in ours


def on_gpu(test):
    """Whether a test, (suite, test), needs a GPU."""
    return bool(GPU_TEST.search(".".join(test)))


def list_tests(program):
    """[(suite, test)] of a test program."""
    listed = subprocess.run(
        [program, "--gtest_list_tests"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    tests, suite = [], None
    for line in listed.splitlines():
        if re.fullmatch(r"[\w/]+\.", line):
            suite = line[:-1]
        elif suite and re.fullmatch(r"  \w+", line):
            tests.append((suite, line.strip()))
    return tests


def gtest_filter(pending, all_tests):
    """A filter for the pending tests, short where whole suites are."""
    suites = dict.fromkeys(suite for suite, _ in pending)
    patterns = []
    for suite in suites:
        wanted = [test for test in pending if test[0] == suite]
        whole = [test for test in all_tests if test[0] == suite]
        patterns += (
            [f"{suite}.*"]
            if len(wanted) == len(whole)
            else [".".join(test) for test in wanted]
        )
    return ":".join(patterns)


def run_once(command, check):
    """Runs a test program; {test: "OK", "FAILED", or "RUN" without an end}."""
    results = {}
    with check.started(command) as process:
        for line in process.stdout:
            check.log.write(line)
            match = RESULT.match(line)
            if match:
                results[match[2]] = match[1]
    return results


def run_tests(command, tests, all_tests, check):
    """Runs tests, again without those done when one ended the process.

    command: of the test program.
    Returns {"passed": [names], "failed": …, "crashed": …, "not_run": …}.
    """
    found = {"passed": [], "failed": [], "crashed": [], "not_run": []}
    kinds = {"OK": "passed", "FAILED": "failed", "RUN": "crashed"}
    pending = list(tests)
    while pending and check.left_s() > 0:
        chosen = gtest_filter(pending, all_tests)
        results = run_once([*command, f"--gtest_filter={chosen}"], check)
        if check.left_s() <= 0:  # the last one was stopped, it did not crash
            results = {k: v for k, v in results.items() if v != "RUN"}
        if not results:
            break
        for name, result in results.items():
            found[kinds[result]].append(name)
        pending = [test for test in pending if ".".join(test) not in results]
    found["not_run"] = [".".join(test) for test in pending]
    return found


def run_in_parallel(command, tests, all_tests, check):
    """run_tests with the suites shared out among several processes."""
    jobs = check.jobs
    suites = list(dict.fromkeys(suite for suite, _ in tests))
    shares = [
        [test for test in tests if test[0] in suites[job::jobs]]
        for job in range(jobs)
    ]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        parts = pool.map(
            lambda share: run_tests(command, share, all_tests, check),
            shares,
        )
    return merge(parts)


def merge(parts):
    """The results of run_tests, several of them, as one."""
    merged = {}
    for part in parts:
        for kind, names in part.items():
            merged.setdefault(kind, []).extend(names)
    return merged


def counts(found, belongs):
    """The numbers of a result's tests that belong, and the names of those that
    did not pass. belongs: takes a test's name."""
    chosen = {
        kind: [name for name in names if belongs(name)]
        for kind, names in found.items()
    }
    names = {k: v for k, v in chosen.items() if k != "passed" and v}
    return {
        "total": sum(map(len, chosen.values())),
        **{kind: len(names) for kind, names in chosen.items()},
        "names": names,
    }


def tests_part(check):
    """All tests of the device, ours first: time may end before Caffe's."""
    program = check.root / "bin/test.testbin"
    all_tests = list_tests(program)
    tests = [test for test in all_tests if on_gpu(test) != check.cpu]
    # The timers' tests allow 30 ms, too little beside other processes.
    timers = [test for test in tests if test[0].startswith("BenchmarkTest")]
    ours = [test for test in tests if check.is_ours(test[0])]
    others = [test for test in tests if test not in timers + ours]
    found = merge([
        run_in_parallel([program], ours, all_tests, check),
        run_in_parallel([program], others, all_tests, check),
        run_tests([program], timers, all_tests, check),
    ])
    result = {
        "caffe": counts(found, lambda name: not check.is_ours(name)),
        "ours": counts(found, check.is_ours),
    }
    for name, numbers in result.items():
        check.say(
            f"  {name}: {numbers['passed']} of {numbers['total']} tests passed"
        )
        for kind, names in numbers["names"].items():
            check.say(f"    {kind}: {' '.join(names[:20])}")
            check.fail(f"{name}: {len(names)} tests {kind}")
        if numbers["total"] == 0:
            check.fail(f"{name}: no tests found")
    return result


def sanitize(command, tests, all_tests, check):
    """run_in_parallel under compute-sanitizer, and what that reports.

    command: compute-sanitizer with its tool.
    """
    found = run_in_parallel(
        [*command, "--target-processes=all",
         f"--log-file={check.folder}/sanitizer.%p",
         check.root / "bin/test.testbin"],
        tests, all_tests, check,
    )
    text = ""
    for part in sorted(check.folder.glob("sanitizer.*")):
        text += part.read_text(errors="replace")
        part.unlink()
    check.log.write(text)
    return found, text


def kernel_option(program):
    """How this compute-sanitizer calls the choice of kernels."""
    text = subprocess.run([program, "--help"], capture_output=True, text=True,
                          check=False).stdout
    return "--kernel-name" if "--kernel-name " in text else "--kernel-regex"


def sanitizer_part(check):
    """compute-sanitizer over our tests of the GPU, in float: memcheck over
    nearly all, racecheck, synccheck and initcheck over those that run every
    kernel with shared memory."""
    program = shutil.which("compute-sanitizer") or shutil.which(
        "compute-sanitizer", path=check.cuda_home + "/bin"
    )
    if program is None or check.cpu:
        return check.skip("no compute-sanitizer" if not program else "no GPU")
    all_tests = list_tests(check.root / "bin/test.testbin")
    tests = [
        test for test in all_tests
        if check.is_ours(test[0]) and re.search(r"GPUTest/0$|Test/2$", test[0])
        and "DeathTest" not in test[0] and ".".join(test) not in LONG_TESTS
    ]
    shared = [test for test in tests if SHARED_MEMORY.match(".".join(test))]
    _, text = sanitize([program, "--tool=memcheck"], shared[:1], all_tests,
                       check)
    if "Device not supported" in text:
        return check.skip("compute-sanitizer does not support this device")
    # Our kernels have the namespace in their names, cuBLAS's do not.
    kernels = kernel_option(program) + "=kernel_substring=caffe"
    results = {}
    for tool, chosen, options in (
        ("memcheck", tests, []),
        ("racecheck", shared, [kernels]),
        ("synccheck", shared, [kernels]),
        ("initcheck", shared, [kernels]),
    ):
        found, text = sanitize([program, f"--tool={tool}", *options], chosen,
                               all_tests, check)
        summaries = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: (\d+) ", text)
        errors = sum(map(int, summaries))
        result = counts(found, check.is_ours) | {"errors": errors}
        results[tool] = result
        check.say(f"  {tool}: {errors} errors in {result['passed']} tests")
        if not summaries or errors or result["names"]:
            check.fail(f"{tool}: {errors} errors in {len(summaries)} reports; "
                       f"{result['names']}")
    return results
