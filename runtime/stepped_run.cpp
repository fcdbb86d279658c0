#include <cove/runtime/stepped_run.hpp>

#include <cove/runtime/signals.hpp>
#include <cove/runtime/task.hpp>

#include <csignal>

namespace cove {
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

stepped_run::stepped_run(kernel& os, bool stop_on_signals) : loop_(os) {
    const loop::running_guard guard(loop_);
    // The watcher of signals stands outside the main scope: neither canceled with it nor listed among its waiters.
    outside_.enter_as_root(loop_);
    helpers_.emplace(outside_);
    if (stop_on_signals) helpers_->spawn(cancel_on_signal(loop_.root_scope(), stopped_));
    main_.emplace(loop_.root_scope());
}

stepped_run::~stepped_run() {
    const loop::running_guard guard(loop_);
    main_.reset();
    helpers_.reset();
}

std::size_t stepped_run::turn() {
    const loop::running_guard guard(loop_);
    return loop_.turn();
}

void stepped_run::turn_to_end() {
    const loop::running_guard guard(loop_);
    while (!has_ended()) loop_.turn();
}

void stepped_run::stop(const cancel_reason& why) noexcept {
    stopped_ = true;
    helpers_->cancel();
    loop_.root_scope().cancel(why);
}

bool stepped_run::finish() {
    const loop::running_guard guard(loop_);
    main_->rethrow_failure();
    return stopped_;
}

}  // namespace cove
