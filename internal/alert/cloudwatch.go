package alert

import (
	"net/url"
	"strings"

	"finobs/internal/fault"
)

// cloudWatchStates are those of alarms. INSUFFICIENT_DATA is not OK: nobody knows
// whether the condition holds.
var cloudWatchStates = map[string]State{"alarm": Firing, "insufficient_data": Firing, "ok": Resolved}

func isCloudWatch(doc object) bool {
	switch {
	case doc.hasAny("AlarmName", "detail-type"):
		return true
	case doc.has("Type") && doc.hasAny("MessageId", "TopicArn", "Message", "SubscribeURL"):
		return true
	}
	return doc.object("Message").has("AlarmName") || strings.Contains(doc.quiet("Message"), `"AlarmName"`)
}

// readCloudWatch reads alarms of Amazon CloudWatch as Amazon SNS posts them (in an
// envelope or raw), and as EventBridge does:
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html and
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html.
func readCloudWatch(doc object) []draft {
	if !doc.has("Message") && !doc.hasAny("Type", "TopicArn") {
		return []draft{readAlarm(doc)}
	}
	switch doc.text("Type") {
	case "SubscriptionConfirmation", "UnsubscribeConfirmation":
		doc.first.err = confirmation(doc)
		return nil
	case "Notification", "":
	default:
		doc.fail("Type", "is %s; expected is Notification", shown(doc.text("Type")))
	}
	message := object{at: doc.pointer("Message"), value: doc.members()["Message"], first: doc.first}
	if text, is := message.value.(string); is {
		value, err := decode([]byte(text), message.at)
		if err != nil {
			doc.first.fail(message.at, "is the text %s; expected is the JSON of an alarm (%s)", shown(text), fault.MessageOf(err))
			return nil
		}
		message.value = value
	}
	if !message.hasAny("AlarmName", "detail-type") {
		message.first.fail(message.at, `is %s; expected is an alarm with "AlarmName"`, describe(message.value))
		return nil
	}
	d := readAlarm(message)
	d.id = firstOf(doc.text("MessageId"), d.id)
	d.at = firstTime(d.at, doc.time("Timestamp"))
	return []draft{d}
}

// confirmation tells how to let SNS begin. Finobs does not open the URL by itself:
// anybody may send one.
func confirmation(doc object) error {
	if doc.quiet("Type") != "SubscriptionConfirmation" {
		return fault.New(fault.Invalid, "not-an-alert", "Amazon SNS says that the subscription to topic %s ends; no alerts come from it any more", shown(doc.quiet("TopicArn")))
	}
	where := doc.quiet("SubscribeURL")
	u, err := url.Parse(where)
	if err != nil || u.Scheme != "https" || !awsHost(u.Hostname()) || len(where) > MaxURL || clean(where, false) != where {
		return fault.New(fault.Invalid, "not-an-alert", "Amazon SNS asks to confirm a subscription, but /SubscribeURL is %s, which is no https address of Amazon; do not open it", shown(where))
	}
	return fault.New(fault.Invalid, "not-an-alert", "Amazon SNS asks to confirm the subscription to topic %s; it must be confirmed by hand: open %s once, if you expect it", shown(doc.quiet("TopicArn")), where)
}

func awsHost(host string) bool {
	return strings.HasPrefix(host, "sns.") && (strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn"))
}

func readAlarm(o object) draft {
	if o.has("detail-type") {
		return readAlarmEvent(o)
	}
	trigger := o.object("Trigger")
	d := draft{
		title: o.text("AlarmName"), description: joinNonEmpty("\n", o.text("AlarmDescription"), o.text("NewStateReason")),
		labels: map[string]string{}, at: o.time("StateChangeTime"), state: Firing, severity: o.firstWord("Priority", "Severity"),
	}
	if o.has("NewStateValue") {
		d.state = o.state("NewStateValue", cloudWatchStates)
	} else {
		d.note("the alarm states no NewStateValue and counts as firing")
	}
	d.label("account", o.word("AWSAccountId"))
	d.label("region", o.text("Region"))
	d.label("namespace", firstOf(trigger.text("Namespace"), o.text("Namespace")))
	d.label("metric", firstOf(trigger.text("MetricName"), o.text("MetricName")))
	d.label("application", o.text("Application"))
	d.label("state", o.text("NewStateValue"))
	d.dimensions(trigger.objects("Dimensions"))
	d.system = firstOf(d.system, o.text("Application"))
	d.identify(o, "AlarmName", o.text("AlarmArn"), o.word("AWSAccountId"), o.text("Region"))
	d.times()
	return d
}

func readAlarmEvent(o object) draft {
	detail := o.object("detail")
	state := detail.object("state")
	if !strings.EqualFold(o.text("detail-type"), "CloudWatch Alarm State Change") {
		o.fail("detail-type", "is %s; expected is CloudWatch Alarm State Change", shown(o.text("detail-type")))
	}
	configuration := detail.object("configuration")
	d := draft{
		id: o.text("id"), title: detail.text("alarmName"), description: joinNonEmpty("\n", configuration.text("description"), state.text("reason")),
		labels: map[string]string{}, at: firstTime(state.time("timestamp"), o.time("time")), state: state.state("value", cloudWatchStates),
	}
	d.label("account", o.word("account"))
	d.label("region", o.text("region"))
	d.label("state", state.text("value"))
	for _, m := range configuration.objects("metrics") {
		metric := m.object("metricStat").object("metric")
		d.label("namespace", metric.text("namespace"))
		d.label("metric", metric.text("name"))
		dimensions := metric.labels("dimensions")
		for _, name := range sortedNames(dimensions) {
			d.label(name, dimensions[name])
		}
		d.system = firstOf(d.system, systemOf(dimensions))
	}
	arn := ""
	if resources := o.list("resources"); len(resources) > 0 {
		arn, _ = resources[0].value.(string)
	}
	d.identify(detail, "alarmName", arn, o.word("account"), o.text("region"))
	d.times()
	return d
}

// identify makes the alarm's ARN the identity, or else its account, region and
// name.
func (d *draft) identify(o object, name, arn, account, region string) {
	if !o.has(name) {
		o.fail(name, "is missing; expected is the name of an alarm")
	}
	if arn != "" {
		d.identity = []string{arn}
		return
	}
	d.identity = []string{account, region, d.title}
}

// times says when the alarm went off, or ended: when it changed.
func (d *draft) times() {
	if d.state == Resolved {
		d.endsAt = d.at
	} else {
		d.startsAt = d.at
	}
}

// dimensions of a metric are written as name and value, or Name and Value.
func (d *draft) dimensions(list []object) {
	found := map[string]string{}
	for _, o := range list {
		name, value := o.firstText("name", "Name"), o.firstWord("value", "Value")
		d.label(name, value)
		found[name] = value
	}
	d.system = systemOf(found)
}

// systemOf picks the dimension that names a thing people know.
func systemOf(dimensions map[string]string) string {
	for _, name := range []string{
		"InstanceId", "DBInstanceIdentifier", "DBClusterIdentifier", "FunctionName", "ServiceName", "ClusterName", "BucketName", "QueueName",
		"TopicName", "LoadBalancer", "TargetGroup", "ApiName", "TableName", "CacheClusterId", "AutoScalingGroupName", "Host", "host",
	} {
		if dimensions[name] != "" {
			return dimensions[name]
		}
	}
	if len(dimensions) == 1 {
		return dimensions[sortedNames(dimensions)[0]]
	}
	return ""
}
