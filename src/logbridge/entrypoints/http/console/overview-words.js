// What the overview says, in two languages.

import { t, words } from "./i18n.js";

words({
  en: {
    "ov-waiting": "Waiting for the first figures of the bridge…",
    "ov-lost": "The bridge does not answer since {time}. These are the figures of then; it is asked again by itself.",
    "ov-no-login": "The session has ended. Log in again to see how the bridge is.", "ov-login": "Log in again",
    "ov-closed": "The bridge shows no statistics: {why}",
    "ov-throughput": "Throughput", "ov-logs-s": "logs/s", "ov-now": "now", "ov-1min": "1 min", "ov-5min": "5 min",
    "ov-acknowledged": "Acknowledged (1 min)", "ov-none-yet": "nothing came", "ov-requests-s": "Requests per second (1 min)",
    "ov-bytes-s": "Text per second (1 min)",
    "ov-latency": "Write latency", "ov-window": "Over", "ov-ms": "{n} ms",
    "ov-in-flight": "In flight", "ov-entries": "Entries", "ov-bytes": "Bytes", "ov-of": "{n} of {max} ({share})",
    "ov-in-flight-why": "Beyond either limit writes are answered 503.",
    "ov-service": "Log service", "ov-address": "Address", "ov-calls": "Calls", "ov-call-latency": "Call p50 / p90 / p99",
    "ov-per-call": "Logs per call", "ov-again": "Logs sent again", "ov-no-calls": "none yet",
    "ov-available": "available", "ov-away": "away", "ov-not asked yet": "not asked yet",
    "ov-available-why": "The last calls were answered.",
    "ov-away-why": "Several calls in a row failed: writes are answered 503 at once, and one trial at a time finds out when it is back.",
    "ov-away-spooled": "Several calls in a row failed: durable writes wait in the spool, others are answered 503 at once. One trial at a time finds out when it is back.",
    "ov-not asked yet-why": "The bridge calls it with the first write or query.",
    "ov-spool": "Spool", "ov-no-spool": "No spool",
    "ov-no-spool-why": "A log is acknowledged only by the log service. LOGBRIDGE_SPOOL lets logs wait on the disk of the bridge.",
    "ov-waiting-logs": "{n} waiting", "ov-oldest": "Oldest waits for", "ov-dead": "Dead letters", "ov-delivered": "Delivered",
    "ov-dead-why": "The log service refused them for good: logbridge spool shows them.",
    "ov-bridge": "Bridge", "ov-connections": "Connections", "ov-tails": "Live tails", "ov-workers": "Workers",
    "ov-uptime": "Up for", "ov-version": "Version", "ov-total": "Logs since the start", "ov-batch": "Logs per batch",
    "ov-chart-throughput": "Logs by outcome, last 5 minutes", "ov-chart-latency": "Write latency, last 5 minutes", "ov-milliseconds": "ms",
    "ov-failures": "Last failures", "ov-no-failures": "Nothing has failed since the start.",
    "ov-last": "Last at", "ov-outcome": "Outcome", "ov-cause": "Cause", "ov-service-name": "Service", "ov-reason": "Reason", "ov-count": "Count",
    "ov-find": "Logs of {name}",
    "ov-statuses": "Refused and failed requests", "ov-by-status": "By status", "ov-by-cause": "Logs by cause", "ov-refused-connections": "Refused before they were logs",
    "ov-no-statuses": "No request was answered with 4xx or 5xx.",
  },
  zh: {
    "ov-waiting": "正在等待日志桥的首批数据…",
    "ov-lost": "日志桥自 {time} 起无响应，下面是当时的数据，正在自动重连。",
    "ov-no-login": "会话已失效，请重新登录后查看。", "ov-login": "重新登录",
    "ov-closed": "无法读取统计数据：{why}",
    "ov-throughput": "吞吐量", "ov-logs-s": "条/秒", "ov-now": "当前", "ov-1min": "1 分钟", "ov-5min": "5 分钟",
    "ov-acknowledged": "确认率（1 分钟）", "ov-none-yet": "暂无日志", "ov-requests-s": "每秒请求数（1 分钟）",
    "ov-bytes-s": "每秒文本量（1 分钟）",
    "ov-latency": "写入延迟", "ov-window": "统计窗口", "ov-ms": "{n} ms",
    "ov-in-flight": "处理中", "ov-entries": "条数", "ov-bytes": "字节数", "ov-of": "{n} / {max}（{share}）",
    "ov-in-flight-why": "任一项超过上限时，写入返回 503。",
    "ov-service": "日志服务", "ov-address": "地址", "ov-calls": "调用次数", "ov-call-latency": "调用延迟 p50 / p90 / p99",
    "ov-per-call": "每次调用的日志数", "ov-again": "重发日志数", "ov-no-calls": "暂无",
    "ov-available": "正常", "ov-away": "不可达", "ov-not asked yet": "尚未请求",
    "ov-available-why": "最近的调用均有应答。",
    "ov-away-why": "连续多次调用失败：写入立即返回 503，同时逐次试探，直至服务恢复。",
    "ov-away-spooled": "连续多次调用失败：持久化写入暂存到磁盘队列，其余写入立即返回 503；同时逐次试探，直至服务恢复。",
    "ov-not asked yet-why": "首次写入或查询时才会调用日志服务。",
    "ov-spool": "磁盘队列", "ov-no-spool": "未启用磁盘队列",
    "ov-no-spool-why": "日志只有经日志服务确认才算写入成功。设置 LOGBRIDGE_SPOOL 后，日志可先落盘排队。",
    "ov-waiting-logs": "{n} 条待投递", "ov-oldest": "最早一条已等待", "ov-dead": "死信", "ov-delivered": "已投递",
    "ov-dead-why": "被日志服务永久拒绝，可用 logbridge spool 查看。",
    "ov-bridge": "日志桥", "ov-connections": "连接数", "ov-tails": "实时订阅数", "ov-workers": "工作进程",
    "ov-uptime": "已运行", "ov-version": "版本", "ov-total": "启动以来的日志数", "ov-batch": "平均批量大小",
    "ov-chart-throughput": "最近 5 分钟日志数（按结果）", "ov-chart-latency": "最近 5 分钟写入延迟", "ov-milliseconds": "毫秒",
    "ov-failures": "最近的失败", "ov-no-failures": "启动以来没有失败。",
    "ov-last": "最近一次", "ov-outcome": "结果", "ov-cause": "原因", "ov-service-name": "服务", "ov-reason": "详情", "ov-count": "次数",
    "ov-find": "查看 {name} 的日志",
    "ov-statuses": "被拒绝和失败的请求", "ov-by-status": "按状态码", "ov-by-cause": "按原因（日志数）", "ov-refused-connections": "尚未成为日志即被拒绝",
    "ov-no-statuses": "没有返回过 4xx 或 5xx。",
    "of-accepted": "已接收", "of-spooled": "已落盘", "of-refused": "被拒绝", "of-failed": "失败", "of-unknown": "结果未知",
    "of-invalid": "数据无效", "of-too large": "超过大小上限", "of-conflict": "ID 冲突", "of-forbidden": "无权限",
    "of-refused by the log service": "日志服务拒绝", "of-overloaded": "过载", "of-unavailable": "日志服务不可达",
    "of-timeout": "超时", "of-no answer": "无应答", "of-unclear": "应答不明确", "of-stopping": "正在停止",
  },
});

// An outcome or a cause, which the bridge names in English.
export function named(name) {
  const key = `of-${name}`;
  const text = t(key);
  return text === key ? name : text;
}
