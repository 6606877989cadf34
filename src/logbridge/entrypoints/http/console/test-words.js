// What the load test says, in two languages.

import { words } from "./i18n.js";

words({
  en: {
    "lt-what": "The bridge makes so many logs and writes each by itself, some at a time. They are real logs: they stay in the log service, under the service …-concurrent-test.",
    "lt-count": "Logs", "lt-max_workers": "Writes at once", "lt-no-limit": "1 or more", "lt-limit": "1 to {n}",
    "lt-start": "Start", "lt-cancel": "Cancel", "lt-progress": "Progress",
    "lt-running": "The test is running; it goes on while you look at another view.", "lt-done": "The test is over.", "lt-failed": "The test came to nothing.",
    "lt-cancelled": "Cancelled. What was written by then stays written.", "lt-no-progress": "Waiting for the result…",
    "lt-numbers": "{done} of {total} · {rate} logs/s · {failed} failed · {seconds} s",
    "lt-broken": "The connection ended before the test did.", "lt-broken-why": "The connection ended before the test did: {why}",
    "lt-result": "Result", "lt-total": "Logs", "lt-success": "Acknowledged", "lt-failures": "Failed", "lt-seconds": "Duration", "lt-s": "{n} s", "lt-rate": "Logs per second", "lt-workers": "At once",
    "lt-p50": "Latency p50", "lt-p90": "Latency p90", "lt-p99": "Latency p99", "lt-max": "Longest", "lt-ms": "{n} ms",
    "lt-no-latency": "This answer has no latencies.", "lt-find": "Find these logs",
    "lt-histogram": "Latency of writes", "lt-latency-ms": "Latency (ms)", "lt-throughput": "Throughput over time", "lt-second": "Second of the test", "lt-logs": "logs", "lt-more": "more",
    "lt-errors": "Failures: {n}",
  },
  zh: {
    "lt-what": "由日志桥生成指定数量的日志，以给定并发逐条写入。这些是真实日志，会保留在日志服务中，服务名为 …-concurrent-test。",
    "lt-count": "日志条数", "lt-max_workers": "并发数", "lt-no-limit": "不小于 1", "lt-limit": "1 至 {n}",
    "lt-start": "开始", "lt-cancel": "取消", "lt-progress": "进度",
    "lt-running": "测试进行中，切换到其他视图不会中断。", "lt-done": "测试完成。", "lt-failed": "测试未能完成。",
    "lt-cancelled": "已取消，此前写入的日志会保留。", "lt-no-progress": "正在等待结果…",
    "lt-numbers": "{done} / {total} · {rate} 条/秒 · 失败 {failed} · {seconds} 秒",
    "lt-broken": "测试结束前连接已断开。", "lt-broken-why": "测试结束前连接已断开：{why}",
    "lt-result": "结果", "lt-total": "日志条数", "lt-success": "已确认", "lt-failures": "失败", "lt-seconds": "耗时", "lt-s": "{n} 秒", "lt-rate": "每秒条数", "lt-workers": "并发数",
    "lt-p50": "延迟 p50", "lt-p90": "延迟 p90", "lt-p99": "延迟 p99", "lt-max": "最大延迟", "lt-ms": "{n} ms",
    "lt-no-latency": "本次响应不含延迟数据。", "lt-find": "查找这些日志",
    "lt-histogram": "写入延迟分布", "lt-latency-ms": "延迟（毫秒）", "lt-throughput": "吞吐量变化", "lt-second": "测试第几秒", "lt-logs": "条数", "lt-more": "更长",
    "lt-errors": "失败：{n} 条",
  },
});
