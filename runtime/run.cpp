#include <cove/runtime/run.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/signals.hpp>
#include <cove/runtime/task_group.hpp>

#include <csignal>

namespace cove::detail {
namespace {

task<> cancel_on_signal(cancel_scope& main_scope, bool& stopped) {
    int signo = 0;
    {
        signal_set stop{SIGINT, SIGTERM};
        stop.unref();
        signo = co_await stop.next();
    }  // from here on the signals do what they did before: a second one ends the process
    stopped = true;
    main_scope.cancel(signo == SIGINT ? "SIGINT" : "SIGTERM", {});
}

}  // namespace

bool run_main(task<> body, const run_options& options) {
    if (this_thread.running != nullptr) misuse("run() was called inside a running loop; co_await the task instead");
    loop here(options.os != nullptr ? *options.os : kernel::current());
    const loop::running_guard guard(here);

    // The watcher of signals stands outside the main scope: neither canceled with it nor listed among its waiters.
    cancel_scope outside;
    outside.enter_as_root(here);
    task_group helpers(outside);
    bool stopped = false;
    if (options.stop_on_signals) helpers.spawn(cancel_on_signal(here.root_scope(), stopped));

    task_group main(here.root_scope());
    main.spawn(std::move(body));
    while (main.size() > 0) here.turn();
    main.rethrow_failure();
    return stopped;
}

}  // namespace cove::detail
