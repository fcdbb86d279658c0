// The test program: doctest's runner, and after every case a check that no coroutine frame and no descriptor was left.

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cove/runtime/detail/frame_recycler.hpp>

#include <dirent.h>
#include <cstdio>

namespace {

int open_descriptors() {
    int count = 0;
    DIR* directory = ::opendir("/proc/self/fd");
    while (::readdir(directory) != nullptr) ++count;
    ::closedir(directory);
    return count;
}

// doctest has no hook around every case but a reporter's; a reporter that finds a leak ends the program as failed.
struct leak_check : doctest::IReporter {
    explicit leak_check(const doctest::ContextOptions&) {}

    void test_case_start(const doctest::TestCaseData& test) override {
        name_ = test.m_name;
        frames_ = cove::detail::frames.live();
        descriptors_ = open_descriptors();
    }
    void test_case_end(const doctest::CurrentTestCaseStats&) override {
        const long frames = cove::detail::frames.live() - frames_;
        const int descriptors = open_descriptors() - descriptors_;
        if (frames == 0 && descriptors == 0) return;
        std::fprintf(stderr, "LEAK in \"%s\": %ld frames, %d descriptors\n", name_, frames, descriptors);
        std::_Exit(1);
    }

    void report_query(const doctest::QueryData&) override {}
    void test_run_start() override {}
    void test_run_end(const doctest::TestRunStats&) override {}
    void test_case_reenter(const doctest::TestCaseData&) override {}
    void test_case_exception(const doctest::TestCaseException&) override {}
    void subcase_start(const doctest::SubcaseSignature&) override {}
    void subcase_end() override {}
    void log_assert(const doctest::AssertData&) override {}
    void log_message(const doctest::MessageData&) override {}
    void test_case_skipped(const doctest::TestCaseData&) override {}

private:
    const char* name_ = "";
    long frames_ = 0;
    int descriptors_ = 0;
};

REGISTER_LISTENER("leaks", 1, leak_check);

}  // namespace
